//! Lets a flow that runs outside `faasflow up` use the store of its gateway.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The key from which the gateway makes the tokens for its store. It uses an existing key, so tokens are known before it starts.
const KEY: [u8; 32] = [7; 32];

/// Creates the state folder with the key, beside the stack file in this folder.
pub(crate) fn prepare(folder: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let folder = folder.join(".faasflow");
    std::fs::create_dir(&folder).map_err(text)?;
    let mut options = std::fs::File::options();
    let mut file = options.create_new(true).write(true).mode(0o600).open(folder.join("state-key")).map_err(text)?;
    std::io::Write::write_all(&mut file, &KEY).map_err(text)
}

/// The settings with which the flow of this name uses the store.
pub(crate) fn settings(flow: &str) -> [(&'static str, String); 2] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("HMAC takes keys of any length");
    mac.update(flow.as_bytes());
    let code: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    [("state_manager", "gateway".to_owned()), ("state_gateway_token", format!("{flow}.{code}"))]
}
