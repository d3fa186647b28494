use std::io::{Error, ErrorKind};

/// Why a file could not be read, and what can be done about it: the rest of a sentence such as "FILE cannot be read: ".
///
/// The kinds of error that a wrong path or a wrong owner causes are told in words; any other as the system tells it.
///
/// ```
/// use std::io::{Error, ErrorKind};
///
/// assert_eq!(faasflow_core::why_unreadable(&Error::from(ErrorKind::NotFound)), "there is no such file");
/// assert!(faasflow_core::why_unreadable(&Error::from(ErrorKind::PermissionDenied)).contains("chmod"));
/// ```
#[must_use]
pub fn why_unreadable(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => {
            "permission denied; its owner or root must let the user that this program runs as read it, with `chown` or \
             `chmod`, and enter the folders that it is in"
                .to_owned()
        }
        ErrorKind::IsADirectory => "it is a folder, and a file was expected".to_owned(),
        ErrorKind::NotADirectory => "a part of its path is a file, and a folder was expected".to_owned(),
        ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => error.to_string(),
    }
}
