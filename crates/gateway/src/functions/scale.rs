//! How many containers a function has.

use std::collections::BTreeMap;

use tokio::sync::watch;

const LEAST: &str = "com.openfaas.scale.min";
const MOST: &str = "com.openfaas.scale.max";
/// The most of which OpenFaaS makes more by itself where the label does not say.
const USUAL_MOST: u32 = 20;

/// The most that a function has here, whatever its labels say: each is a container on this machine.
const CEILING: u32 = 100;

/// How many containers a function is to have: as many as its label says, until somebody asks for another number.
#[derive(Debug)]
pub(crate) struct Scale {
    wanted: watch::Sender<u32>,
    least: u32,
    most: u32,
}

impl Scale {
    /// Reads the labels of a function.
    ///
    /// # Errors
    ///
    /// If one is no number that can be used: the text names label, value and remedy.
    pub(crate) fn read(labels: &BTreeMap<String, String>) -> Result<Scale, String> {
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
        Ok(Scale { wanted: watch::Sender::new(least), least, most })
    }

    /// How many there are to be.
    pub(crate) fn wanted(&self) -> u32 {
        *self.wanted.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u32> {
        self.wanted.subscribe()
    }

    /// Asks for another number.
    ///
    /// # Errors
    ///
    /// If it is more than the label allows, or than there may be of any function.
    pub(crate) fn set(&self, number: u32) -> Result<(), String> {
        if number > CEILING {
            return Err(format!(
                "it may have {CEILING} containers at most, the most that this gateway starts of a function"
            ));
        }
        if number > self.most {
            let most = self.most;
            return Err(format!(
                "it may have {most} containers at most; the label `{MOST}` of the function allows more"
            ));
        }
        self.wanted.send_replace(number);
        Ok(())
    }

    /// Starts the first ones again, if there are to be none.
    pub(crate) fn wake(&self) {
        self.wanted.send_if_modified(|wanted| {
            let asleep = *wanted == 0;
            if asleep {
                *wanted = self.least.max(1);
            }
            asleep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> Result<Scale, String> {
        Scale::read(&labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn labels_say_how_many() {
        for (labels, wanted) in [
            (&[][..], 1),
            (&[(LEAST, "2")], 2),
            (&[(LEAST, "0")], 0),
            (&[(LEAST, " 3 "), (MOST, "3")], 3),
            (&[(LEAST, "30")], 30),
            (&[(LEAST, "")], 1),
        ] {
            assert_eq!(read(labels).unwrap().wanted(), wanted, "{labels:?}");
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
        large.set(CEILING).unwrap();
        assert!(large.set(CEILING + 1).unwrap_err().contains("100 containers at most"));
    }

    #[test]
    fn one_that_is_asleep_is_woken_once() {
        let scale = read(&[(LEAST, "2"), (MOST, "3")]).unwrap();
        scale.set(0).unwrap();
        scale.wake();
        assert_eq!(scale.wanted(), 2);
        scale.set(3).unwrap();
        scale.wake();
        assert_eq!(scale.wanted(), 3);
        assert!(scale.set(4).unwrap_err().contains("3 containers at most"));
        assert_eq!(scale.wanted(), 3);
    }
}
