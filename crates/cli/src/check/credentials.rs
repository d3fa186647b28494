//! Who asks the gateway: basic authentication, as OpenFaaS has it (RFC 7617).

use http::HeaderValue;

use crate::error::Failure;

/// The header that says so. `password` is the password, or `@` and the file that it stands in.
pub(super) fn basic(user: &str, password: &str) -> Result<HeaderValue, Failure> {
    let password = match password.strip_prefix('@') {
        None => password.to_owned(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::Unusable(format!("the password cannot be read from {path}: {error}")))?,
    };
    // A file ends with a line end, which is no part of the password.
    let encoded = base64(format!("{user}:{}", password.trim_end_matches(['\r', '\n'])).as_bytes());
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).expect("base64 is ASCII");
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let present = digit <= chunk.len();
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if present { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfcs() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_password_from_a_file_is_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "open sesame\n").unwrap();
        let value = basic("Aladdin", &format!("@{}", path.display())).unwrap();
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(matches!(basic("a", "@/absent"), Err(Failure::Unusable(_))));
    }
}
