//! Reads the files of a tar archive.

use std::collections::BTreeMap;
use std::io::Read as _;

use function_server::Refusal;

/// The files of a tar archive by path, in the order of their paths.
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Reads the regular files of an archive.
    pub(crate) fn read(archive: &[u8]) -> Result<Files, Refusal> {
        let not_tar = |error| Refusal::bad(format!("the body is not a tar archive: {error}"));
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().map_err(not_tar)? {
            let mut entry = entry.map_err(not_tar)?;
            if entry.header().entry_type().is_file() {
                let path = entry.path().map_err(not_tar)?.to_string_lossy().into_owned();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(not_tar)?;
                files.insert(path, bytes);
            }
        }
        Ok(Files(files))
    }

    /// The bytes of a file.
    pub(crate) fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// The bytes of a file, or an error that names it.
    pub(crate) fn require(&self, path: &str) -> Result<&[u8], Refusal> {
        self.get(path).ok_or_else(|| Refusal::bad(format!("the archive has no file `{path}`")))
    }

    /// The files in a folder, by their paths in it.
    pub(crate) fn folder<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let prefix = format!("{name}/");
        self.0.iter().filter_map(move |(path, bytes)| Some((path.strip_prefix(&prefix)?, bytes.as_slice())))
    }

    /// The names of the folders at the top.
    pub(crate) fn folders(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().filter_map(|path| Some(path.split_once('/')?.0)).collect();
        names.dedup();
        names
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes an archive, as a client would.
    pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn files_are_found_by_path_and_by_folder() {
        let files = Files::read(&tar(&[("b/x/1.jpg", b"1"), ("a/y.txt", b"y"), ("b/z.txt", b"z")])).unwrap();
        assert_eq!(files.folders(), ["a", "b"]);
        assert_eq!(files.folder("b").map(|(path, _)| path).collect::<Vec<_>>(), ["x/1.jpg", "z.txt"]);
        assert_eq!(files.require("a/y.txt").unwrap(), b"y");
        assert!(files.require("a/z.txt").unwrap_err().1.contains("`a/z.txt`"));
    }

    #[test]
    fn a_body_that_is_not_an_archive_is_refused() {
        assert!(Files::read(&[7; 2000]).is_err());
    }
}
