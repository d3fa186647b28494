//! The arguments of `chaos`.

use std::fmt;

use super::shape::{Shape, Store};

/// The size of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) requests: usize,
    pub(crate) kills: usize,
    pub(crate) seed: u64,
    pub(crate) shape: Shape,
}

/// The sizes of a run without options.
const LINEAR: (usize, usize) = (1000, 15);
const GRAPH: (usize, usize) = (60, 8);

impl Arguments {
    /// Parses the arguments. Without `--seed`, the seed is `otherwise`.
    ///
    /// # Errors
    ///
    /// If an argument is unknown or not valid.
    pub(crate) fn parse(words: &[&str], otherwise: u64) -> Result<Arguments, String> {
        let (mut requests, mut kills) = (None, None);
        let (mut seed, mut shape) = (otherwise, Shape::Linear(None));
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (*word, words.next().copied()),
            };
            if ["--graph", "--records"].contains(&option) {
                let store = value.and_then(Store::named);
                let store = store.ok_or_else(|| format!("`{option}` needs a store: `gateway`, `redis` or `s3`"))?;
                if shape != Shape::Linear(None) {
                    return Err(
                        "a run has one store: `--graph`, whose requests are remembered too, or `--records`".to_owned()
                    );
                }
                shape = if option == "--graph" { Shape::Graph(store) } else { Shape::Linear(Some(store)) };
                continue;
            }
            if !["--requests", "--kills", "--seed"].contains(&option) {
                return Err(format!("`chaos` does not know `{word}`"));
            }
            let number = value.and_then(|value| value.parse::<u64>().ok());
            let number = number.ok_or_else(|| format!("`{option}` needs a number"))?;
            let size = usize::try_from(number).map_err(|_| format!("`{option} {number}` is too much"))?;
            match option {
                "--requests" => requests = Some(size),
                "--kills" => kills = Some(size),
                _ => seed = number,
            }
        }
        let default = if matches!(shape, Shape::Linear(_)) { LINEAR } else { GRAPH };
        let (requests, kills) = (requests.unwrap_or(default.0), kills.unwrap_or(default.1));
        let arguments = Arguments { requests, kills, seed, shape };
        match arguments.requests {
            0 => Err("`--requests 0`: there would be nothing to kill under".to_owned()),
            requests if requests < arguments.kills => {
                Err(format!("{} kills need as many requests at least, not {requests}", arguments.kills))
            }
            _ => Ok(arguments),
        }
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Linear(None) => {}
            Shape::Linear(Some(store)) => write!(f, "--records {} ", store.as_str())?,
            Shape::Graph(store) => write!(f, "--graph {} ", store.as_str())?,
        }
        write!(f, "--requests {} --kills {} --seed {}", self.requests, self.kills, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_shown_again() {
        let parsed = Arguments::parse(&["--requests", "50", "--kills=7", "--seed", "3"], 9).unwrap();
        assert_eq!(parsed, Arguments { requests: 50, kills: 7, seed: 3, shape: Shape::Linear(None) });
        assert_eq!(parsed.to_string(), "--requests 50 --kills 7 --seed 3");
        let default = Arguments { requests: 1000, kills: 15, seed: 9, shape: Shape::Linear(None) };
        assert_eq!(Arguments::parse(&[], 9).unwrap(), default);
        let graph = Arguments::parse(&["--graph", "redis", "--kills", "2"], 9).unwrap();
        assert_eq!(graph.shape, Shape::Graph(Store::Redis));
        assert_eq!(graph.to_string(), "--graph redis --requests 60 --kills 2 --seed 9");
        let remembered = Arguments::parse(&["--records", "s3", "--requests=30"], 9).unwrap();
        assert_eq!(remembered.shape, Shape::Linear(Some(Store::S3)));
        assert_eq!(remembered.to_string(), "--records s3 --requests 30 --kills 15 --seed 9");
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (words, why) in [
            (&["--requests"] as &[&str], "`--requests` needs a number"),
            (&["--kills", "many"], "`--kills` needs a number"),
            (&["--graph", "files"], "`--graph` needs a store: `gateway`, `redis` or `s3`"),
            (&["--records"], "`--records` needs a store"),
            (&["--graph", "s3", "--records", "s3"], "a run has one store"),
            (&["--quick"], "`chaos` does not know `--quick`"),
            (&["--requests", "0"], "nothing to kill under"),
            (&["--requests", "3", "--kills", "4"], "4 kills need as many requests at least, not 3"),
        ] {
            let fault = Arguments::parse(words, 1).unwrap_err();
            assert!(fault.contains(why), "{words:?}: {fault}");
        }
    }
}
