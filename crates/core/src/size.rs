//! Sizes in bytes, as written in settings and options: `256000`, `64MiB`, `1 MB`.

/// Parses a number of bytes, alone or with a unit. `k`, `M` and `G` are powers of 1000; `Ki`, `Mi` and `Gi` are powers
/// of 1024. A `B` may follow the unit, and case does not matter.
///
/// # Errors
///
/// If the text is not a size, or the size is above [`u64::MAX`]. The error says what to write.
///
/// ```
/// use faasflow_core::size::parse;
///
/// assert_eq!(parse("64MiB"), Ok(64 << 20));
/// assert_eq!(parse("1 MB"), Ok(1_000_000));
/// assert!(parse("large").is_err());
/// ```
pub fn parse(text: &str) -> Result<u64, String> {
    let fault = || "write a size in bytes such as `256000`, or with a unit such as `64MiB` or `1MB`".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| fault())?;
    let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000 * 1000,
        "g" | "gb" => 1000 * 1000 * 1000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return Err(fault()),
    };
    number.checked_mul(unit).ok_or_else(fault)
}
