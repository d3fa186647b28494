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

/// How old a signed request of the API may be, in milliseconds. An older one is refused, so that it cannot be sent again much
/// later.
pub const MAX_AGE_MS: u64 = 5 * 60 * 1000;
/// How far the clock of a client may be ahead of that of a flow function, in milliseconds.
pub const MAX_AHEAD_MS: u64 = 60 * 1000;

/// Whether a request of the API that was signed at one time is accepted at another, both in milliseconds since the Unix epoch.
#[must_use]
pub fn is_signed_now(signed_at_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(signed_at_ms) <= MAX_AGE_MS && signed_at_ms.saturating_sub(now_ms) <= MAX_AHEAD_MS
}

/// What is signed before the body of a request to the API of a flow function: the name of the flow, the method, the target, which
/// is the path from `/_/` and the query, and the time in the header [`SIGNED_AT`](crate::headers::SIGNED_AT), each on a line of
/// its own. The name is that of the flow's function, without a namespace. It makes the signature worthless at another flow that
/// has the same key.
///
/// ```
/// use faasflow_core::signature::{Keys, api_request};
///
/// let keys = Keys::parse("secret")?;
/// let signed = api_request("upload", "POST", "/_/requests/order-17/stop", 1_700_000_000_000);
/// let signature = keys.sign([signed.as_bytes(), b""]);
/// assert!(signature.starts_with("sha256="));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn api_request(flow: &str, method: &str, target: &str, signed_at_ms: u64) -> String {
    let flow = flow.split('.').next().unwrap_or_default();
    format!("faasflow-api\n{flow}\n{method}\n{target}\n{signed_at_ms}\n")
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
    fn the_signature_of_a_request_to_the_api_names_its_flow() {
        let signed = api_request("upload", "POST", "/_/recover", 7);
        assert_eq!(signed, "faasflow-api\nupload\nPOST\n/_/recover\n7\n");
        assert_eq!(api_request("upload.openfaas-fn", "POST", "/_/recover", 7), signed);
        assert_ne!(api_request("other", "POST", "/_/recover", 7), signed);
    }

    #[test]
    fn a_signed_request_is_accepted_for_five_minutes() {
        let now = 1_700_000_000_000;
        for (signed_at, is_accepted) in [
            (now, true),
            (now - 300_000, true),
            (now - 300_001, false),
            (now + 60_000, true),
            (now + 60_001, false),
            (0, false),
            (u64::MAX, false),
        ] {
            assert_eq!(is_signed_now(signed_at, now), is_accepted, "{signed_at}");
        }
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
