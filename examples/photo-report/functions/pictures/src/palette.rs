//! Finds the colours of a picture: POST a JPEG or PNG, get its five dominant colours in JSON, the largest first.

use axum::Json;
use axum::body::Bytes;
use function_server::Refusal;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::jpeg;

const COLOURS: usize = 5;
/// The picture is shrunk to this many pixels on each side first. Its colours hardly change.
const SIDE: u32 = 64;
const ROUNDS: usize = 16;

/// A colour, such as `#d86b1e`, and its share of the picture, from 0 to 1.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Colour {
    pub(crate) hex: String,
    pub(crate) share: f32,
}

impl Colour {
    /// The colour as a pixel.
    pub(crate) fn pixel(&self) -> Option<Rgb<u8>> {
        let digits = self.hex.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
        let channel = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
        Some(Rgb([channel(0)?, channel(2)?, channel(4)?]))
    }
}

type Point = [f32; 3];

/// Groups the pixels of a picture around five of their colours (k-means). The first groups begin at the average and then at
/// the pixels that are farthest from all others, so the result depends only on the picture.
fn dominant(picture: &RgbImage) -> Vec<Colour> {
    let points: Vec<Point> =
        resize(picture, SIDE, SIDE, FilterType::Triangle).pixels().map(|pixel| pixel.0.map(f32::from)).collect();
    let mut centres = vec![average(points.iter()).unwrap_or_default()];
    while centres.len() < COLOURS {
        let farthest = points.iter().max_by(|a, b| nearest(a, &centres).1.total_cmp(&nearest(b, &centres).1));
        centres.extend(farthest);
    }
    for _ in 0..ROUNDS {
        centres = (0..COLOURS)
            .map(|group| {
                average(points.iter().filter(|point| nearest(point, &centres).0 == group)).unwrap_or(centres[group])
            })
            .collect();
    }
    let mut sizes = [0_usize; COLOURS];
    points.iter().for_each(|point| sizes[nearest(point, &centres).0] += 1);
    let mut groups: Vec<(usize, Point)> = sizes.into_iter().zip(centres).filter(|(size, _)| *size > 0).collect();
    groups.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    groups
        .into_iter()
        .map(|(size, centre)| {
            let [red, green, blue] = centre.map(|channel| channel.round() as u8);
            let share = (size as f32 / points.len() as f32 * 1000.0).round() / 1000.0;
            Colour { hex: format!("#{red:02x}{green:02x}{blue:02x}"), share }
        })
        .collect()
}

/// The index of the nearest centre, and the square of the distance to it.
fn nearest(point: &Point, centres: &[Point]) -> (usize, f32) {
    let distance = |centre: &Point| point.iter().zip(centre).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let distances = centres.iter().map(distance).enumerate();
    distances.min_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or_default()
}

fn average<'a>(points: impl Iterator<Item = &'a Point>) -> Option<Point> {
    let (sum, count) = points.fold(([0.0; 3], 0), |(sum, count), point| {
        ([0, 1, 2].map(|channel: usize| sum[channel] + point[channel]), count + 1)
    });
    (count > 0).then(|| sum.map(|channel: f32| channel / count as f32))
}

pub(crate) async fn palette(picture: Bytes) -> Result<Json<Vec<Colour>>, Refusal> {
    let find = move || jpeg::decode(&picture).map(|picture| dominant(&picture));
    tokio::task::spawn_blocking(find).await.map_err(Refusal::bad)?.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::photo;

    fn of_photo(name: &str) -> Vec<Colour> {
        dominant(&jpeg::decode(&photo(name)).unwrap())
    }

    #[test]
    fn the_suit_of_the_astronaut_is_orange() {
        let colours = of_photo("portrait.jpg");
        assert_eq!(colours.len(), 5);
        let is_orange = |Rgb([red, green, blue]): Rgb<u8>| red > 150 && red > green + 50 && green > blue + 20;
        assert!(colours.iter().any(|colour| is_orange(colour.pixel().unwrap())), "{colours:?}");
        assert!(colours.is_sorted_by(|a, b| a.share >= b.share), "{colours:?}");
        assert!((colours.iter().map(|colour| colour.share).sum::<f32>() - 1.0).abs() < 0.01, "{colours:?}");
    }

    #[test]
    fn a_grey_photo_has_grey_colours() {
        for colour in of_photo("portrait-bw.jpg") {
            let Rgb([red, green, blue]) = colour.pixel().unwrap();
            assert!(red.abs_diff(green) < 3 && green.abs_diff(blue) < 3, "{colour:?}");
        }
    }

    #[test]
    fn a_picture_of_one_colour_has_one_dominant_colour() {
        let colours = dominant(&RgbImage::from_pixel(9, 9, Rgb([16, 32, 255])));
        assert_eq!(colours.iter().map(|colour| colour.hex.as_str()).collect::<Vec<_>>(), ["#1020ff"]);
    }
}
