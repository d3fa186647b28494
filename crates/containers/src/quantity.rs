//! Amounts of memory and processor time, as Kubernetes writes them.

/// A text that is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// It is not an amount of memory.
    #[error("`{}` is not an amount of memory", .0.escape_debug())]
    NotMemory(String),
    /// It is an amount of memory with which nothing runs.
    #[error("`{}` leaves no memory at all", .0.escape_debug())]
    NoMemory(String),
    /// It is not an amount of processor time.
    #[error("`{}` is not a number of processors", .0.escape_debug())]
    NotCpu(String),
}

impl QuantityError {
    /// What to do about the error.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            QuantityError::NotMemory(_) => "write bytes, or a number with a unit, such as `128Mi` or `64M`",
            QuantityError::NoMemory(_) => "write a larger amount, or leave it out for no limit",
            QuantityError::NotCpu(_) => "write a number such as `0.5`, or `100m` for a tenth of a processor",
        }
    }
}

/// Parses an amount of memory, such as `128Mi`, `64M`, `1.5Gi`, `1e6` or a number of bytes. Returns bytes.
///
/// # Errors
///
/// If the text is not an amount of memory, or is 0.
pub fn memory(text: &str) -> Result<u64, QuantityError> {
    let fault = || QuantityError::NotMemory(text.to_owned());
    let bytes = read(text).ok_or_else(fault)?;
    if bytes == 0.0 {
        return Err(QuantityError::NoMemory(text.to_owned()));
    }
    // More than any machine has is still a number.
    if !(0.0..=u64::MAX as f64).contains(&bytes) { Err(fault()) } else { Ok(bytes.ceil() as u64) }
}

/// Parses an amount of processor time, such as `100m`, `0.5` or `2`. Returns thousandths of a processor.
///
/// # Errors
///
/// If the text is not an amount of processor time.
pub fn cpu(text: &str) -> Result<u64, QuantityError> {
    let fault = || QuantityError::NotCpu(text.to_owned());
    let thousandths = read(text).ok_or_else(fault)? * 1000.0;
    if !(0.0..=1e9).contains(&thousandths) { Err(fault()) } else { Ok(thousandths.ceil() as u64) }
}

/// Parses a number with a suffix, as Kubernetes's `resource.Quantity` does.
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
    fn amounts_are_parsed_as_kubernetes_does() {
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
        assert_eq!(memory("0"), Err(QuantityError::NoMemory("0".to_owned())));
        for wrong in ["", "lots", "12MB", "12 Mi", "-1", "Mi", "1.2.3", "1e", "0x10", "nan", "1e999"] {
            assert_eq!(memory(wrong), Err(QuantityError::NotMemory(wrong.to_owned())));
            assert_eq!(cpu(wrong), Err(QuantityError::NotCpu(wrong.to_owned())));
        }
    }
}
