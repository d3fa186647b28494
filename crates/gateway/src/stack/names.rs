//! The rules for the names of functions and secrets.

/// The longest name of a function. On Kubernetes it becomes the name of a host, which has this limit.
pub(crate) const LONGEST_NAME: usize = 63;
/// The longest name of a secret on Kubernetes.
const LONGEST_SECRET_NAME: usize = 253;

/// Whether this is a valid name for a function.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Checks the name of a secret.
///
/// # Errors
///
/// If it is not a valid name. The text is the rule for names, as an instruction.
pub(crate) fn check_secret_name(name: &str) -> Result<(), String> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let whole = name.bytes().enumerate().all(|(at, byte)| letter(byte) || (at > 0 && b".-".contains(&byte)));
    if name.is_empty() || name.len() > LONGEST_SECRET_NAME || !whole {
        return Err(format!(
            "use at most {LONGEST_SECRET_NAME} lower-case letters, digits, `-` and `.`, and begin with a letter or digit"
        ));
    }
    Ok(())
}
