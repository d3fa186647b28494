//! The labels that say how many containers a function has.

use std::collections::BTreeMap;

use faasflow_core::counted;

use super::fault::Fault;

const LEAST: &str = "com.openfaas.scale.min";
const MOST: &str = "com.openfaas.scale.max";
/// OpenFaaS's default maximum when the label is absent.
const USUAL_MOST: u32 = 20;

/// The most containers that a function can have here, whatever its labels say. They all run on this machine.
const CEILING: u32 = 100;

/// How many containers a function has at first, and the most that it may be scaled to.
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
    /// If one of them is not a number that can be used.
    pub(crate) fn read(labels: &BTreeMap<String, String>) -> Result<Replicas, Fault> {
        let number = |label: &str| {
            let Some(text) = labels.get(label).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
                return Ok(None);
            };
            let fault = || {
                Fault::value(format!("`{label}` is `{}`", text.escape_debug()))
                    .help("write a number of containers, such as `2`")
            };
            text.parse::<u32>().map(Some).map_err(|_| fault())
        };
        let least = number(LEAST)?.unwrap_or(1);
        if least > CEILING {
            let what = format!("`{LEAST}` is `{least}`, but a function can have at most {CEILING} containers here");
            return Err(Fault::value(what).help("write a smaller number"));
        }
        let most = number(MOST)?.unwrap_or(USUAL_MOST.max(least));
        if most == 0 {
            let what = format!("`{MOST}` is `0`, so the function could never run");
            return Err(Fault::value(what).help("write at least 1"));
        }
        if most < least {
            let what = format!("`{MOST}` is `{most}`, less than `{LEAST}`, which is `{least}`");
            return Err(Fault::value(what).help("raise the maximum, or lower the minimum"));
        }
        Ok(Replicas { least, most })
    }

    /// Checks whether the function may be scaled to this number.
    ///
    /// # Errors
    ///
    /// If it is more than the label or this gateway allows.
    pub(crate) fn check(self, number: u32) -> Result<(), String> {
        if number > CEILING {
            return Err(format!(
                "it may have at most {CEILING} containers, the most that this gateway starts for a function"
            ));
        }
        let most = self.most;
        if number > most {
            let most = counted(most.into(), "container");
            return Err(format!("it may have at most {most}; raise its label `{MOST}` to allow more"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> Result<Replicas, Fault> {
        Replicas::read(&labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn labels_set_the_number_of_replicas() {
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
            assert!(read(labels).unwrap_err().to_string().contains("com.openfaas.scale."), "{labels:?}");
        }
        // A number that was meant for a cluster is not a mistake.
        let large = read(&[(MOST, "5000")]).unwrap();
        large.check(CEILING).unwrap();
        assert!(large.check(CEILING + 1).unwrap_err().contains("at most 100 containers"));
    }
}
