//! The tokens with which functions use the store of the gateway.
//!
//! A token is the name of the function and a code that only the gateway can make from it (HMAC-SHA256). So there is nothing to store
//! for each function, and a function cannot make the token of another.

use std::io;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::private_file;

/// The key from which tokens are made. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Tokens(Hmac<Sha256>);

/// The length of the key in bytes.
const KEY: usize = 32;

impl Tokens {
    /// Reads the key from its file. Creates the file if it does not exist.
    pub(crate) fn open(path: &Path) -> io::Result<Tokens> {
        let key = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key: [u8; KEY] = rand::random();
                match private_file::create(path, &key) {
                    // Another gateway was faster.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => std::fs::read(path)?,
                    created => {
                        created?;
                        key.to_vec()
                    }
                }
            }
            read => read?,
        };
        if key.len() != KEY {
            let text =
                format!("it has {} bytes instead of {KEY}; remove it, and the gateway makes a new one", key.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Tokens::from(&key))
    }

    pub(crate) fn from(key: &[u8]) -> Tokens {
        Tokens(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// The token of a function.
    pub(crate) fn of(&self, function: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(function.as_bytes());
        format!("{function}.{}", hex::encode(mac.finalize().into_bytes()))
    }

    /// The function whose token this is. The comparison takes the same time for every guess.
    pub(crate) fn function<'a>(&self, token: &'a str) -> Option<&'a str> {
        let (function, code) = token.rsplit_once('.')?;
        let mut mac = self.0.clone();
        mac.update(function.as_bytes());
        mac.verify_slice(&hex::decode(code).ok()?).ok()?;
        Some(function)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_function_and_one_gateway() {
        let tokens = Tokens::from(&[1; KEY]);
        let token = tokens.of("resize.v2");
        assert_eq!(tokens.function(&token), Some("resize.v2"));
        let code = token.strip_prefix("resize.v2.").unwrap();
        for wrong in ["", ".", "resize.v2", "resize.v2.", &format!("other.{code}"), &token[..token.len() - 1], code] {
            assert_eq!(tokens.function(wrong), None, "{wrong}");
        }
        assert_eq!(Tokens::from(&[2; KEY]).function(&token), None);
    }

    #[test]
    fn the_key_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state-key");
        let token = Tokens::open(&path).unwrap().of("f");
        assert_eq!(Tokens::open(&path).unwrap().of("f"), token);
        std::fs::write(&path, "short").unwrap();
        assert!(Tokens::open(&path).unwrap_err().to_string().contains("5 bytes instead of 32"));
    }
}
