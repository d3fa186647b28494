//! Puts pictures on one sheet: POST a tar archive with a folder for each photo, get a JPEG.
//!
//! | file in the folder | on the sheet |
//! |---|---|
//! | `thumbnail.jpg` | the photo |
//! | `caption.txt` | the first line is the name of the photo, and the second line is below it |
//! | `palette.json` | a swatch for each colour: `[{"hex": "#d86b1e", "share": 0.3}]` |
//! | `details/*` | pictures on the right: a single picture is large, and several are in a grid |

use axum::body::Bytes;
use axum::response::Response;
use function_server::Refusal;
use image::imageops::{overlay, resize};
use image::{Rgb, RgbImage, imageops::FilterType};

use crate::files::Files;
use crate::jpeg;
use crate::palette::Colour;
use crate::text::{self, Style};
use crate::thumbnail::fit;

const PAPER: Rgb<u8> = Rgb([22, 24, 29]);
const CARD: Rgb<u8> = Rgb([33, 36, 43]);
const INK: Rgb<u8> = Rgb([236, 238, 242]);
const FAINT: Rgb<u8> = Rgb([150, 157, 170]);

/// Lengths in pixels.
const EDGE: u32 = 24;
const HEADER: u32 = 40;
const GAP: u32 = 14;
const INSET: u32 = 14;
/// The sizes of a card and its parts: the photo, the text with its swatches, and the details.
const HEIGHT: u32 = 160;
const PHOTO: u32 = 240;
const TEXT: u32 = 5 * (SWATCH + 8) - 8;
const DETAILS: u32 = 2 * HEIGHT + 8;
const SWATCH: u32 = 56;
const CARD_WIDTH: u32 = INSET + PHOTO + 24 + TEXT + 24 + DETAILS + INSET;
const CARD_HEIGHT: u32 = HEIGHT + 2 * INSET;

/// A photo, as the sheet shows it.
struct Photo {
    thumbnail: RgbImage,
    name: String,
    caption: String,
    colours: Vec<Colour>,
    details: Vec<RgbImage>,
}

impl Photo {
    fn read(files: &Files, folder: &str) -> Result<Photo, Refusal> {
        let file = |name: &str| files.get(&format!("{folder}/{name}"));
        let caption = String::from_utf8_lossy(file("caption.txt").unwrap_or_default()).into_owned();
        let mut lines = caption.lines();
        let colours = file("palette.json").map(serde_json::from_slice).transpose();
        let details = files.folder(&format!("{folder}/details")).map(|(_, picture)| jpeg::decode(picture));
        Ok(Photo {
            thumbnail: jpeg::decode(files.require(&format!("{folder}/thumbnail.jpg"))?)?,
            name: lines.next().unwrap_or(folder).to_owned(),
            caption: lines.next().unwrap_or_default().to_owned(),
            colours: colours
                .map_err(|error| Refusal::bad(format!("`{folder}/palette.json` is not a palette: {error}")))?
                .unwrap_or_default(),
            details: details.collect::<Result<_, _>>()?,
        })
    }

    fn draw(&self, sheet: &mut RgbImage, left: u32, top: u32) {
        fill(sheet, (left, top), (CARD_WIDTH, CARD_HEIGHT), CARD);
        let (left, top) = (left + INSET, top + INSET);
        let thumbnail = fit(&self.thumbnail, PHOTO, HEIGHT);
        centre(sheet, &thumbnail, (left, top), (PHOTO, HEIGHT));

        let left = left + PHOTO + 24;
        text::write(sheet, &shorten(&self.name, Style::Name), (left, top + 8), Style::Name, INK);
        text::write(sheet, &shorten(&self.caption, Style::Plain), (left, top + 36), Style::Plain, FAINT);
        for (colour, index) in self.colours.iter().take(5).zip(0..) {
            let (left, top) = (left + index * (SWATCH + 8), top + 76);
            fill(sheet, (left, top), (SWATCH, SWATCH), colour.pixel().unwrap_or(CARD));
            let share = format!("{:.0} %", colour.share * 100.0);
            let indent = SWATCH.saturating_sub(text::width(&share, Style::Plain)) / 2;
            text::write(sheet, &share, (left + indent, top + SWATCH + 8), Style::Plain, FAINT);
        }

        let left = left + TEXT + 24;
        if let [detail] = &self.details[..] {
            overlay_at(sheet, &scale(detail, DETAILS, HEIGHT), (left, top));
            return;
        }
        let (columns, side) = grid(self.details.len() as u32);
        for (detail, index) in self.details.iter().zip(0..) {
            let corner = (left + index % columns * (side + 8), top + index / columns * (side + 8));
            centre(sheet, &scale(detail, side, side), corner, (side, side));
        }
    }
}

/// The number of details in a row, and the size of each, so that all details fit into the card.
fn grid(details: u32) -> (u32, u32) {
    let side = |columns: u32| ((DETAILS + 8) / columns).saturating_sub(8).clamp(1, HEIGHT);
    let fits = |columns: &u32| columns * ((HEIGHT + 8) / (side(*columns) + 8)) >= details;
    let columns = (2..MOST as u32).find(fits).unwrap_or(MOST as u32);
    (columns, side(columns))
}

/// Scales a picture until it fills a box, whether it is smaller or larger.
fn scale(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let scale = (f64::from(width) / f64::from(picture.width())).min(f64::from(height) / f64::from(picture.height()));
    let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    resize(picture, scaled(picture.width()), scaled(picture.height()), FilterType::CatmullRom)
}

fn fill(sheet: &mut RgbImage, (left, top): (u32, u32), (width, height): (u32, u32), colour: Rgb<u8>) {
    for y in top..(top + height).min(sheet.height()) {
        for x in left..(left + width).min(sheet.width()) {
            sheet.put_pixel(x, y, colour);
        }
    }
}

/// Puts a picture into the middle of a box.
fn centre(sheet: &mut RgbImage, picture: &RgbImage, (left, top): (u32, u32), (width, height): (u32, u32)) {
    let x = left + width.saturating_sub(picture.width()) / 2;
    let y = top + height.saturating_sub(picture.height()) / 2;
    overlay_at(sheet, picture, (x, y));
}

fn overlay_at(sheet: &mut RgbImage, picture: &RgbImage, (left, top): (u32, u32)) {
    overlay(sheet, picture, i64::from(left), i64::from(top));
}

/// Cuts a text off where the column ends.
fn shorten(text: &str, style: Style) -> String {
    let mut text = text.to_owned();
    while text::width(&text, style) > TEXT {
        text.pop();
    }
    text
}

fn draw(photos: &[Photo]) -> RgbImage {
    let height = 2 * EDGE + HEADER + photos.len() as u32 * (CARD_HEIGHT + GAP) - GAP.min(photos.len() as u32 * GAP);
    let mut sheet = RgbImage::from_pixel(2 * EDGE + CARD_WIDTH, height, PAPER);
    text::write(&mut sheet, "Contact sheet", (EDGE, EDGE - 4), Style::Title, INK);
    let summary = format!("{} photo{}", photos.len(), if photos.len() == 1 { "" } else { "s" });
    let right = EDGE + CARD_WIDTH - text::width(&summary, Style::Plain);
    text::write(&mut sheet, &summary, (right, EDGE + 2), Style::Plain, FAINT);
    for (photo, index) in photos.iter().zip(0..) {
        photo.draw(&mut sheet, EDGE, EDGE + HEADER + index * (CARD_HEIGHT + GAP));
    }
    sheet
}

/// The maximum number of photos on a sheet. A JPEG has at most 65,535 lines.
const MOST: usize = 200;

pub(crate) async fn contact_sheet(archive: Bytes) -> Result<Response, Refusal> {
    jpeg::respond(move || {
        let files = Files::read(&archive)?;
        let folders = files.folders();
        if folders.len() > MOST {
            return Err(Refusal::bad(format!(
                "the archive has {} photos; at most {MOST} fit on a sheet",
                folders.len()
            )));
        }
        let photos: Vec<Photo> = folders.iter().map(|folder| Photo::read(&files, folder)).collect::<Result<_, _>>()?;
        Ok(draw(&photos))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::tar;
    use crate::tests::photo;

    fn sheet(files: &[(&str, &[u8])]) -> Result<RgbImage, Refusal> {
        let files = Files::read(&tar(files))?;
        let photos: Result<Vec<Photo>, _> = files.folders().iter().map(|folder| Photo::read(&files, folder)).collect();
        Ok(draw(&photos?))
    }

    #[test]
    fn a_photo_is_shown_with_its_colours_and_details() {
        let (photo, palette) = (photo("rocket.jpg"), br##"[{"hex": "#ff0000", "share": 1}]"##);
        let bare = [("1/thumbnail.jpg", &photo[..])];
        let full = [bare[0], ("1/palette.json", palette), ("1/details/a.jpg", &photo), ("1/details/b.jpg", &photo)];
        let (bare, full) = (sheet(&bare).unwrap(), sheet(&full).unwrap());
        assert_eq!(bare.dimensions(), full.dimensions());
        let reds = |sheet: &RgbImage| sheet.pixels().filter(|pixel| pixel.0 == [255, 0, 0]).count();
        assert_eq!((reds(&bare), reds(&full)), (0, (SWATCH * SWATCH) as usize));
        let right = |sheet: &RgbImage| sheet.get_pixel(EDGE + CARD_WIDTH - INSET - HEIGHT / 2, EDGE + HEADER + 90).0;
        assert!(right(&bare) == CARD.0 && right(&full) != CARD.0, "{:?} {:?}", right(&bare), right(&full));
    }

    #[test]
    fn each_number_of_details_fits() {
        for details in 2..200 {
            let (columns, side) = grid(details);
            let rows = details.div_ceil(columns);
            assert!(
                columns * (side + 8) - 8 <= DETAILS && rows * (side + 8) - 8 <= HEIGHT,
                "{details}: {columns}, {side}"
            );
        }
        assert_eq!(grid(2), (2, HEIGHT));
    }

    #[test]
    fn a_sheet_can_be_empty() {
        assert!(sheet(&[]).unwrap().height() > 0);
    }

    #[test]
    fn errors_name_the_file_that_is_missing_or_wrong() {
        let photo = photo("rocket.jpg");
        let reason = |files: &[(&str, &[u8])]| sheet(files).unwrap_err().1;
        assert!(reason(&[("1/palette.json", b"[]")]).contains("`1/thumbnail.jpg`"));
        assert!(reason(&[("1/thumbnail.jpg", &photo), ("1/palette.json", b"{}")]).contains("`1/palette.json`"));
    }
}
