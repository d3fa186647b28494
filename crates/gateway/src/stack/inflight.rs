//! The variable that limits how many requests a function handles at once.

use std::collections::BTreeMap;

/// The variable that limits how many requests a function handles at once. Both watchdogs of OpenFaaS read it.
pub(crate) const MAX_INFLIGHT: &str = "max_inflight";
/// A number that does not fit is as good as no limit: there is no room for so many requests.
const MOST: usize = usize::MAX >> 3;

/// Reads `max_inflight` from the environment of a function. 0 means no limit, as in of-watchdog. A negative number, which
/// of-watchdog takes for no limit too, is refused: it reads like a limit.
///
/// # Errors
///
/// If it is not a number: the text names variable, value and remedy.
pub(crate) fn max_inflight(environment: &BTreeMap<String, String>) -> Result<Option<usize>, String> {
    let Some(text) = environment.get(MAX_INFLIGHT).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{MAX_INFLIGHT}` is `{}`: set it to the number of requests that the function takes at once, such as 4, \
             or to 0 for no limit",
            text.escape_debug()
        ));
    }
    Ok(text.parse::<usize>().ok().filter(|&most| (1..=MOST).contains(&most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> Result<Option<usize>, String> {
        max_inflight(&[("max_inflight".to_owned(), text.to_owned())].into())
    }

    #[test]
    fn h8_the_limit_is_a_number_or_an_error() {
        assert_eq!(max_inflight(&BTreeMap::new()), Ok(None));
        for (text, read) in [("1", Some(1)), (" 25 ", Some(25)), ("007", Some(7))] {
            assert_eq!(limit(text), Ok(read), "{text}");
        }
        for unlimited in ["0", "", " ", "99999999999999999999999999"] {
            assert_eq!(limit(unlimited), Ok(None), "{unlimited}");
        }
        for wrong in ["abc", "-1", "1.5", "4k", "-", "1 2", "0x10", "true"] {
            let fault = limit(wrong).unwrap_err();
            assert!(
                fault.contains("`max_inflight`") && fault.contains(wrong) && fault.contains("such as 4"),
                "{fault}"
            );
        }
    }
}
