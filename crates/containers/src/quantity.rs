//! Amounts of memory and processor time, as Kubernetes writes them.

/// Reads an amount of memory in bytes: `128Mi`, `64M`, `1.5Gi`, `1e6`, or bytes.
///
/// # Errors
///
/// If the text is not such an amount. The error says what to write.
pub fn memory(text: &str) -> Result<u64, String> {
    let fault = || {
        format!(
            "`{}` is not an amount of memory: write bytes, or a number with a unit such as `128Mi` or `64M`",
            text.escape_debug()
        )
    };
    let bytes = read(text).ok_or_else(fault)?;
    if bytes == 0.0 {
        return Err(format!("`{}` is no memory at all: leave it out for no limit, or write more", text.escape_debug()));
    }
    // More than this machine can have, but a number all the same.
    if !(0.0..=u64::MAX as f64).contains(&bytes) { Err(fault()) } else { Ok(bytes.ceil() as u64) }
}

/// Reads an amount of processor time, in thousandths of a processor: `100m`, `0.5`, `2`.
///
/// # Errors
///
/// If the text is not such an amount. The error says what to write.
pub fn cpu(text: &str) -> Result<u64, String> {
    let fault = || {
        format!(
            "`{}` is not an amount of processors: write a number such as `0.5`, or `100m` for a tenth of one",
            text.escape_debug()
        )
    };
    let thousandths = read(text).ok_or_else(fault)? * 1000.0;
    if !(0.0..=1e9).contains(&thousandths) { Err(fault()) } else { Ok(thousandths.ceil() as u64) }
}

/// A number with a suffix (Kubernetes, `resource.Quantity`).
fn read(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.' || c == '+' || c == '-';
    let end = text.find(|c| !is_of_number(c)).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let suffix = &text[end..];
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10f64.powi(power)
        }
    };
    Some(number * factor).filter(|amount| amount.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("128Mi", 128 << 20),
            ("1Gi", 1 << 30),
            ("0.5Gi", 512 << 20),
            ("64M", 64_000_000),
            ("6291456", 6 << 20),
            ("1e6", 1_000_000),
            (" 5Mi ", 5 << 20),
            ("2Ki", 2048),
            ("1P", 1_000_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1Pi", 1 << 50),
            ("1Ei", 1 << 60),
            ("6000000u", 6),
        ] {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for (text, thousandths) in
            [("100m", 100), ("0.5", 500), ("2", 2000), ("1.25", 1250), ("1", 1000), ("500000u", 500)]
        {
            assert_eq!(cpu(text), Ok(thousandths), "{text}");
        }
        assert!(memory("0").unwrap_err().contains("leave it out for no limit"));
        for wrong in ["", "lots", "12MB", "12 Mi", "-1", "Mi", "1.2.3", "1e", "0x10", "nan", "1e999"] {
            assert!(memory(wrong).unwrap_err().contains("such as `128Mi`"), "{wrong}");
            assert!(cpu(wrong).unwrap_err().contains("such as `0.5`"), "{wrong}");
        }
    }
}
