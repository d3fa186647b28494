//! Several files in one payload.

use std::io::Read as _;

use faasflow::bytes::Bytes;
use faasflow::{Error, FromPayload, IntoPayload, Payload, Result};

/// Files with their paths, which travel as a tar archive. A handler takes and returns it like any other payload.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    files: Vec<(String, Bytes)>,
}

impl Archive {
    /// The same archive with another file.
    pub(crate) fn with(mut self, path: impl Into<String>, bytes: impl Into<Bytes>) -> Archive {
        self.files.push((path.into(), bytes.into()));
        self
    }

    /// The same archive with the files of another one, in a folder.
    pub(crate) fn with_folder(mut self, folder: &str, other: Archive) -> Archive {
        self.files.extend(other.files.into_iter().map(|(path, bytes)| (format!("{folder}/{path}"), bytes)));
        self
    }

    /// The paths and bytes of the files, in order.
    pub(crate) fn files(&self) -> impl ExactSizeIterator<Item = (&str, &Bytes)> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes))
    }

    /// The bytes of a file.
    pub(crate) fn file(&self, path: &str) -> Result<&Bytes> {
        let found = self.files.iter().find(|(other, _)| other == path);
        found.map(|(_, bytes)| bytes).ok_or_else(|| Error::msg(format!("the archive has no file `{path}`")))
    }
}

impl FromPayload for Archive {
    fn from_payload(payload: Payload) -> Result<Archive> {
        let refused = |_| Error::refused("the payload is not a tar archive");
        let mut archive = Archive::default();
        for entry in tar::Archive::new(&payload.bytes()[..]).entries().map_err(refused)? {
            let mut entry = entry.map_err(refused)?;
            if entry.header().entry_type().is_file() {
                let path = entry.path().map_err(refused)?.to_string_lossy().into_owned();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(refused)?;
                archive = archive.with(path, bytes);
            }
        }
        Ok(archive)
    }
}

/// The same files always make the same bytes, because the archive contains no times.
impl IntoPayload for Archive {
    fn into_payload(self) -> Result<Payload> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, &bytes[..])?;
        }
        Ok(Payload::new(tar.into_inner()?).with_content_type("application/x-tar"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_in_order() {
        let faces = Archive::default().with("1.jpg", "one").with("2.jpg", "two");
        let archive = Archive::default().with("a long/".repeat(20) + "name", "").with_folder("faces", faces);
        let payload = archive.into_payload().unwrap();
        assert_eq!(payload.content_type(), Some("application/x-tar"));
        let archive = Archive::from_payload(payload).unwrap();
        assert_eq!(archive.files().len(), 3);
        assert_eq!(archive.files().nth(2), Some(("faces/2.jpg", &Bytes::from("two"))));
        assert_eq!(archive.file("faces/1.jpg").unwrap(), "one");
        assert!(archive.file("faces/3.jpg").unwrap_err().to_string().contains("`faces/3.jpg`"));
    }

    #[test]
    fn a_payload_that_is_not_an_archive_is_refused() {
        let error = Archive::from_payload(Payload::new(vec![0xff; 2000])).unwrap_err();
        assert_eq!(error.public_reason(), Some("the payload is not a tar archive"));
    }
}
