//! Tints a picture: POST a JPEG or PNG, get a JPEG in two tones. `?tone=` is `sepia` (the default), `blue`, `rose` or `green`.

use axum::body::Bytes;
use axum::extract::Query;
use axum::response::Response;
use function_server::Refusal;
use image::{Rgb, RgbImage};
use serde::Deserialize;

use crate::jpeg;

#[derive(Deserialize)]
pub(crate) struct Options {
    #[serde(default)]
    tone: Tone,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tone {
    #[default]
    Sepia,
    Blue,
    Rose,
    Green,
}

impl Tone {
    /// The colours of black and of white. What is between them is mixed.
    fn ends(self) -> [[f32; 3]; 2] {
        match self {
            Tone::Sepia => [[36.0, 18.0, 24.0], [255.0, 232.0, 190.0]],
            Tone::Blue => [[8.0, 20.0, 56.0], [206.0, 240.0, 255.0]],
            Tone::Rose => [[48.0, 8.0, 40.0], [255.0, 222.0, 226.0]],
            Tone::Green => [[6.0, 36.0, 32.0], [226.0, 250.0, 206.0]],
        }
    }
}

fn in_two_tones(picture: &RgbImage, tone: Tone) -> RgbImage {
    let [black, white] = tone.ends();
    let mut tinted = picture.clone();
    for pixel in tinted.pixels_mut() {
        let [red, green, blue] = pixel.0.map(f32::from);
        let brightness = (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0;
        *pixel = Rgb(
            [0, 1, 2].map(|channel: usize| (black[channel] + (white[channel] - black[channel]) * brightness) as u8)
        );
    }
    tinted
}

pub(crate) async fn tint(Query(options): Query<Options>, picture: Bytes) -> Result<Response, Refusal> {
    jpeg::respond(move || Ok(in_two_tones(&jpeg::decode(&picture)?, options.tone))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::photo;

    #[test]
    fn each_tone_has_its_colour() {
        let grey = jpeg::decode(&photo("portrait-bw.jpg")).unwrap();
        let sum = |tone| {
            in_two_tones(&grey, tone).pixels().fold([0_u64; 3], |sum, pixel| {
                [0, 1, 2].map(|channel: usize| sum[channel] + u64::from(pixel.0[channel]))
            })
        };
        let [[sepia_red, _, sepia_blue], [blue_red, _, blue_blue]] = [sum(Tone::Sepia), sum(Tone::Blue)];
        assert!(sepia_red > sepia_blue + sepia_blue / 10, "{sepia_red} {sepia_blue}");
        assert!(blue_blue > blue_red + blue_red / 10, "{blue_blue} {blue_red}");
        let [[rose_red, rose_green, _], [green_red, green_green, _]] = [sum(Tone::Rose), sum(Tone::Green)];
        assert!(rose_red > rose_green && green_green > green_red, "{rose_red} {rose_green} {green_green} {green_red}");
    }
}
