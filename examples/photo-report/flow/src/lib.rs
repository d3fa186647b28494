//! A report on photos: takes a tar archive of photos, and returns a contact sheet and a list in JSON.

mod archive;
mod faces;
mod sheet;
#[cfg(test)]
mod tests;

use faasflow::bytes::Bytes;
use faasflow::{
    Branches, Call, Context, DefinitionError, Error, Flow, FlowBuilder, ForEach, Graph, Items, Payload, Result,
};

use archive::Archive;

/// How the flow calls its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// The whole flow runs in one invocation, and needs no store.
    Synchronous,
    /// The queue delivers each call as a separate invocation, and each join survives the death of any process.
    Asynchronous,
}

impl Calls {
    fn call(self, function: &str) -> Call {
        let call = Call::new(function);
        if self == Calls::Synchronous { call.sync() } else { call }
    }
}

/// The definition.
///
/// # Errors
///
/// If the definition is not valid.
pub fn define(calls: Calls) -> Result<Flow, DefinitionError> {
    Flow::builder()
        .modify(keep_names)
        .for_each(ForEach::new(photo(calls)).split(photos).at_most(4).collect(cards))
        .graph(sheet::sheet_and_report(calls))
        .build()
}

/// The branches for one photo, which run at the same time.
fn photo(calls: Calls) -> FlowBuilder {
    Flow::builder().graph(
        Graph::new()
            .branch("thumbnail", Flow::builder().apply(calls.call("thumbnail")))
            .branch("palette", Flow::builder().apply(calls.call("palette")))
            .branch("faces", faces::faces(calls))
            .join(card),
    )
}

/// Keeps the names of the photos, since the functions see only pictures.
async fn keep_names(context: Context, photos: Archive) -> Result<Archive> {
    let names: Vec<&str> = photos.files().filter(is_photo).map(|(path, _)| name(path)).collect();
    if names.is_empty() {
        return Err(Error::refused("the archive has no photo: send a tar archive of JPEG or PNG files"));
    }
    context.set("names", names).await?;
    Ok(photos)
}

/// Splits the archive into photos, in the order of their names in the state.
async fn photos(archive: Archive) -> Vec<Payload> {
    archive.files().filter(is_photo).map(|(_, photo)| Payload::new(photo.clone())).collect()
}

fn is_photo((path, _): &(&str, &Bytes)) -> bool {
    // A Mac puts a file `._NAME` beside each file.
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png")) && !name(path).starts_with("._")
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Joins the branches of a photo.
async fn card(mut branches: Branches) -> Result<Archive> {
    Ok(Archive::default()
        .with("thumbnail.jpg", branches.take::<Bytes>("thumbnail")?)
        .with("palette.json", branches.take::<Bytes>("palette")?)
        .with_folder("details", branches.take("faces")?))
}

/// Collects the photos, each in a folder with its caption.
async fn cards(context: Context, items: Items) -> Result<Archive> {
    let names: Vec<String> =
        context.get("names").await?.ok_or_else(|| Error::msg("the names are not in the context"))?;
    let cards = items.take_all::<Archive>()?.into_iter().zip(names).zip(1..);
    Ok(cards.fold(Archive::default(), |all, ((card, name), number)| {
        let faces = faces::count(card.files().map(|(path, _)| path));
        let caption = format!("{name}\n{}", faces::caption(faces));
        all.with_folder(&format!("{number:03}"), card.with("caption.txt", caption))
    }))
}
