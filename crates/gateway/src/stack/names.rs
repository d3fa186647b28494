//! The names that functions and secrets may have.

/// The longest name of a function: that of a host, which it becomes on Kubernetes.
pub(crate) const LONGEST_NAME: usize = 63;
/// The longest name of a secret, as Kubernetes has it.
const LONGEST_SECRET_NAME: usize = 253;

/// Whether a function may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether a secret may have this name, by its letters.
///
/// # Errors
///
/// If none may have it: the text says what they may be.
pub(crate) fn check_secret_name(name: &str) -> Result<(), String> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let whole = name.bytes().enumerate().all(|(at, byte)| letter(byte) || (at > 0 && b".-".contains(&byte)));
    if name.is_empty() || name.len() > LONGEST_SECRET_NAME || !whole {
        return Err(format!(
            "a secret's name has lower-case letters, digits, `-` and `.`, begins with a letter or digit, and is at \
             most {LONGEST_SECRET_NAME} long"
        ));
    }
    Ok(())
}
