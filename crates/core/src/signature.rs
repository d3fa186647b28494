//! HMAC-SHA256 signatures of envelopes, in the header and form that `faas-cli invoke --sign` uses.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

use crate::code::{self, Code};

/// The keys that sign and verify. The first key signs, and all keys verify, so that a key can be replaced without
/// downtime: add the new key below the old one and deploy; move it to the top and deploy; then remove the old key.
pub struct Keys {
    keys: Vec<SecretSlice<u8>>,
}

impl Keys {
    /// Reads keys from a text with one key per line. Blank lines and white space around a key are ignored.
    ///
    /// # Errors
    ///
    /// If the text contains no key.
    pub fn parse(text: &str) -> Result<Keys, NoKey> {
        let keys: Vec<SecretSlice<u8>> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| SecretSlice::from(line.as_bytes().to_vec()))
            .collect();
        if keys.is_empty() { Err(NoKey) } else { Ok(Keys { keys }) }
    }

    /// The number of keys.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Signs a body that is given in parts. Returns the value of the header [`SIGNATURE`](crate::headers::SIGNATURE):
    /// `sha256=` and 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn sign<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let digest = mac(&self.keys[0], parts).finalize().into_bytes();
        format!("sha256={}", hex::encode(digest))
    }

    /// Checks a signature against every key, each in constant time.
    ///
    /// # Errors
    ///
    /// If the header is missing, does not have the form `sha256=<64 hex digits>`, or matches none of the keys.
    pub fn verify(&self, header: Option<&[u8]>, body: &[u8]) -> Result<(), SignatureError> {
        let header = header.ok_or(SignatureError::Missing)?;
        let digits = header.strip_prefix(b"sha256=").ok_or(SignatureError::Malformed)?;
        let mut claimed = [0; 32];
        let digits = std::str::from_utf8(digits).map_err(|_| SignatureError::Malformed)?;
        hex::decode_to_slice(digits, &mut claimed).map_err(|_| SignatureError::Malformed)?;
        let fits = self.keys.iter().any(|key| mac(key, [body]).verify_slice(&claimed).is_ok());
        if fits { Ok(()) } else { Err(SignatureError::Wrong) }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.keys.len())
    }
}

fn mac<'a>(key: &SecretSlice<u8>, parts: impl IntoIterator<Item = &'a [u8]>) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// The error of a text that contains no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no key in it")]
pub struct NoKey;

/// The error of a signature that is missing or cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is no signature.
    #[error("the signature is missing")]
    Missing,
    /// The header does not have the form of a signature.
    #[error("the signature is malformed")]
    Malformed,
    /// The signature was made with another key or for another body.
    #[error("the signature does not match the body under any key of this flow")]
    Wrong,
}

impl SignatureError {
    /// The code of the error.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            SignatureError::Missing => code::SIGNATURE_MISSING,
            SignatureError::Malformed => code::SIGNATURE_MALFORMED,
            SignatureError::Wrong => code::SIGNATURE_WRONG,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            SignatureError::Missing => "send it as `X-Hub-Signature: sha256=<hex HMAC-SHA256 of the body>`",
            SignatureError::Malformed => "send it as `X-Hub-Signature: sha256=<64 hexadecimal digits>`",
            SignatureError::Wrong => "sign exactly the bytes that are sent, with a key of this flow",
        }
    }
}

impl NoKey {
    /// The code of the error.
    #[must_use]
    pub fn code(self) -> Code {
        code::KEY_EMPTY
    }

    /// What to do about it.
    #[must_use]
    pub fn help(self) -> &'static str {
        "write one key per line"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 2 of RFC 4231.
    #[test]
    fn a_known_answer() {
        let keys = Keys::parse("Jefe").unwrap();
        let signature = keys.sign([b"what do ya want ".as_slice(), b"for nothing?"]);
        assert_eq!(signature, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(keys.verify(Some(signature.as_bytes()), b"what do ya want for nothing?"), Ok(()));
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let old = Keys::parse("old\n").unwrap();
        let both = Keys::parse("\n  new \nold\n").unwrap();
        assert_eq!(both.count(), 2);
        assert_eq!(both.verify(Some(old.sign([b"x".as_slice()]).as_bytes()), b"x"), Ok(()));
        let by_new = both.sign([b"x".as_slice()]);
        assert_eq!(old.verify(Some(by_new.as_bytes()), b"x"), Err(SignatureError::Wrong));
    }

    #[test]
    fn missing_and_malformed_signatures_are_rejected() {
        let keys = Keys::parse("k").unwrap();
        assert_eq!(keys.verify(None, b""), Err(SignatureError::Missing));
        for header in ["", "sha1=00", "sha256=", "sha256=zz", &"0".repeat(64), &format!("sha256={}", "é".repeat(32))] {
            assert_eq!(keys.verify(Some(header.as_bytes()), b""), Err(SignatureError::Malformed), "{header}");
        }
        assert_eq!(keys.verify(Some(b"sha256=\xff"), b""), Err(SignatureError::Malformed));
        assert_eq!(Keys::parse(" \n\n").unwrap_err(), NoKey);
    }
}
