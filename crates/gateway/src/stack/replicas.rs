//! How many containers a function may have, as its labels say.

use std::collections::BTreeMap;

const LEAST: &str = "com.openfaas.scale.min";
const MOST: &str = "com.openfaas.scale.max";
/// OpenFaaS's default maximum when the label is absent.
const USUAL_MOST: u32 = 20;

/// The most that a function has here, whatever its labels say: each is a container on this machine.
const CEILING: u32 = 100;

/// How many containers a function has at first, and the most that somebody may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replicas {
    pub(crate) least: u32,
    pub(crate) most: u32,
}

impl Replicas {
    /// Reads the labels of a function.
    ///
    /// # Errors
    ///
    /// If one is no number that can be used: the text names label, value and remedy.
    pub(crate) fn read(labels: &BTreeMap<String, String>) -> Result<Replicas, String> {
        let number = |label: &str| {
            let Some(text) = labels.get(label).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
                return Ok(None);
            };
            let fault = || format!("`{label}` is `{}`: write how many containers, such as `2`", text.escape_debug());
            text.parse::<u32>().map(Some).map_err(|_| fault())
        };
        let least = number(LEAST)?.unwrap_or(1);
        if least > CEILING {
            return Err(format!("`{LEAST}` is `{least}`: a function has {CEILING} containers here at most"));
        }
        let most = number(MOST)?.unwrap_or(USUAL_MOST.max(least));
        if most == 0 {
            return Err(format!("`{MOST}` is `0`, so that the function could never run; write at least 1"));
        }
        if most < least {
            return Err(format!(
                "`{MOST}` is `{most}`, and `{LEAST}` is `{least}`; the most must not be less than the least"
            ));
        }
        Ok(Replicas { least, most })
    }

    /// Whether somebody may ask for this number.
    ///
    /// # Errors
    ///
    /// If it is more than the label allows, or than there may be of any function.
    pub(crate) fn check(self, number: u32) -> Result<(), String> {
        if number > CEILING {
            return Err(format!(
                "it may have {CEILING} containers at most, the most that this gateway starts of a function"
            ));
        }
        let most = self.most;
        if number > most {
            return Err(format!(
                "it may have {most} containers at most; the label `{MOST}` of the function allows more"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> Result<Replicas, String> {
        Replicas::read(&labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn labels_say_how_many() {
        for (labels, least) in [
            (&[][..], 1),
            (&[(LEAST, "2")], 2),
            (&[(LEAST, "0")], 0),
            (&[(LEAST, " 3 "), (MOST, "3")], 3),
            (&[(LEAST, "30")], 30),
            (&[(LEAST, "")], 1),
        ] {
            assert_eq!(read(labels).unwrap().least, least, "{labels:?}");
        }
        for labels in [
            &[(LEAST, "-1")][..],
            &[(LEAST, "two")],
            &[(LEAST, "3"), (MOST, "2")],
            &[(MOST, "0"), (LEAST, "0")],
            &[(LEAST, "101")],
        ] {
            assert!(read(labels).unwrap_err().contains("com.openfaas.scale."), "{labels:?}");
        }
        // What was written for a cluster is no mistake.
        let large = read(&[(MOST, "5000")]).unwrap();
        large.check(CEILING).unwrap();
        assert!(large.check(CEILING + 1).unwrap_err().contains("100 containers at most"));
    }
}
