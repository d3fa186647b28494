//! Writes text into a picture.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// A size of letters, with their weight.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    Title,
    Name,
    Plain,
}

impl Style {
    fn font(self) -> (FontWeight, RasterHeight) {
        match self {
            Style::Title => (FontWeight::Bold, RasterHeight::Size24),
            Style::Name => (FontWeight::Bold, RasterHeight::Size20),
            Style::Plain => (FontWeight::Regular, RasterHeight::Size16),
        }
    }
}

/// The width of a text, in pixels.
pub(crate) fn width(text: &str, style: Style) -> u32 {
    let (weight, height) = style.font();
    (text.chars().count() * get_raster_width(weight, height)) as u32
}

/// Writes a line with its upper left corner at this point. Characters that the font lacks become `?`, and the text is
/// cut off at the edge of the picture.
pub(crate) fn write(picture: &mut RgbImage, text: &str, (left, top): (u32, u32), style: Style, colour: Rgb<u8>) {
    let (weight, height) = style.font();
    let mut x = left;
    for character in text.chars() {
        let letter = get_raster(character, weight, height)
            .or_else(|| get_raster('?', weight, height))
            .expect("`?` is in the font");
        for (row, line) in letter.rows().enumerate() {
            for (column, &ink) in line.iter().enumerate() {
                let Some(pixel) = picture.get_pixel_mut_checked(x + column as u32, top + row as u32) else { continue };
                for (channel, &full) in pixel.0.iter_mut().zip(&colour.0) {
                    *channel =
                        ((u32::from(*channel) * (255 - u32::from(ink)) + u32::from(full) * u32::from(ink)) / 255) as u8;
                }
            }
        }
        x += letter.width() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_stays_between_the_edges_of_the_text() {
        let mut picture = RgbImage::new(100, 30);
        write(&mut picture, "ü✓", (10, 5), Style::Plain, Rgb([255; 3]));
        let inked = picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 != [0; 3]).map(|(x, y, _)| (x, y));
        let right = 10 + width("ü✓", Style::Plain);
        let inked: Vec<_> = inked.collect();
        assert!(
            inked.len() > 20 && inked.iter().all(|(x, y)| (10..right).contains(x) && (5..21).contains(y)),
            "{inked:?}"
        );
    }

    #[test]
    fn text_that_does_not_fit_is_cut_off() {
        write(&mut RgbImage::new(20, 4), "a long line", (15, 2), Style::Title, Rgb([255; 3]));
    }
}
