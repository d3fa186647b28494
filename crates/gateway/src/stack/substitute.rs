//! Inserts variables into a stack file, as `faas-cli` does, with the forms and results of drone/envsubst 1.0.3. They are
//! inserted before the text is read as YAML, also in comments.
//!
//! If `faas-cli` would refuse a form, panic, or produce half a character, there is an error here that quotes the form.

mod apply;

use self::apply::{Operation, apply};

/// A form that cannot be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// Where it begins, in bytes.
    pub(super) at: usize,
    pub(super) what: String,
    /// What to do about it.
    pub(super) help: &'static str,
}

/// Replaces `${…}` by the values of variables.
///
/// `variable` looks up a variable. It returns `None` if the variable is not set, or says why its value cannot be used.
pub(super) fn substitute(
    text: &str,
    variable: &impl Fn(&str) -> Result<Option<String>, String>,
) -> Result<String, Unusable> {
    let mut reader = Reader { text, at: 0, depth: 0, variable };
    let mut result = String::with_capacity(text.len());
    while let Some(part) = reader.part(|_| false, true)? {
        result.push_str(&part);
    }
    Ok(result)
}

/// How deeply forms may be nested, which is far deeper than anybody writes them.
const DEEPEST: usize = 100;

struct Reader<'a, V> {
    text: &'a str,
    at: usize,
    /// How many forms enclose the current position.
    depth: usize,
    variable: &'a V,
}

impl<V: Fn(&str) -> Result<Option<String>, String>> Reader<'_, V> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        let taken = self.rest().starts_with(token);
        if taken {
            self.at += token.len();
        }
        taken
    }

    /// Reads the next form, or the text up to the next form or to a character for which `ends` is true. Returns `None` if there
    /// is neither. With `escapes`, `$$` is a `$` that does not begin a form, and `\/` and `\\` lose their first character.
    fn part(&mut self, ends: impl Fn(char) -> bool, escapes: bool) -> Result<Option<String>, Unusable> {
        if self.rest().starts_with("${") {
            return self.form().map(Some);
        }
        let begin = self.at;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            if self.rest().starts_with("${") {
                break;
            }
            if escapes && ["$$", "\\/", "\\\\"].iter().any(|escape| self.rest().starts_with(escape)) {
                text.extend(self.rest().chars().nth(1));
                self.at += 2;
                continue;
            }
            if ends(character) {
                break;
            }
            text.push(character);
            self.at += character.len_utf8();
        }
        Ok((self.at > begin).then_some(text))
    }

    /// Reads a form from its `${` to its `}`, and returns what replaces it.
    fn form(&mut self) -> Result<String, Unusable> {
        let begin = self.at;
        self.at += "${".len();
        if self.depth == DEEPEST {
            let what = format!("forms are nested more than {DEEPEST} deep here");
            return Err(Unusable { at: begin, what, help: "use fewer levels" });
        }
        self.depth += 1;
        let inside = self.inside(begin);
        self.depth -= 1;
        let (name, operation, arguments) = inside?;
        if !self.take("}") {
            return Err(self.unknown(begin));
        }
        let fault = |what: String| Unusable { at: begin, what, help: "set the variable to a value that fits the form" };
        let value = (self.variable)(&name).map_err(|why| fault(format!("`${{{name}}}` cannot be inserted: {why}")))?;
        let form = &self.text[begin..self.at];
        apply(operation, &value.unwrap_or_default(), &arguments)
            .map_err(|why| fault(format!("`{form}` cannot be inserted: {why}")))
    }

    fn inside(&mut self, begin: usize) -> Result<(String, Operation, Vec<String>), Unusable> {
        let closing = |character: char| character == '}';
        if self.take("#") {
            return Ok((self.name(begin)?, Operation::Length, Vec::new()));
        }
        let name = self.name(begin)?;
        for token in [":=", ":-", ":?", ":+", "="] {
            if self.take(token) {
                let mut arguments = Vec::new();
                while let Some(part) = self.part(closing, false)? {
                    arguments.push(part);
                }
                return Ok((name, Operation::Default, arguments));
            }
        }
        if self.take(":") {
            if !self.peek().is_some_and(|character| character.is_ascii()) {
                return Err(self.unknown(begin));
            }
            let position = self.argument(begin, |character| character == ':' || character == '}', false)?;
            let mut arguments = vec![position];
            if self.take(":") {
                while self.take(":") {}
                arguments.push(self.argument(begin, closing, false)?);
            }
            return Ok((name, Operation::Part, arguments));
        }
        for (token, operation) in Operation::CASES {
            if self.take(token) {
                return Ok((name, operation, Vec::new()));
            }
        }
        for (token, operation) in Operation::REMOVALS {
            if self.take(token) {
                let pattern = self.argument(begin, closing, false)?;
                return Ok((name, operation, vec![pattern]));
            }
        }
        for (token, operation) in Operation::REPLACEMENTS {
            if self.take(token) {
                let pattern = self.argument(begin, |character| character == '/' || character == '\n', true)?;
                if !self.take("/") {
                    return Err(self.unknown(begin));
                }
                while self.take("/") {}
                let mut arguments = vec![pattern];
                if self.peek() != Some('}') {
                    arguments.push(self.argument(begin, closing, true)?);
                }
                return Ok((name, operation, arguments));
            }
        }
        Ok((name, Operation::Value, Vec::new()))
    }

    fn name(&mut self, begin: usize) -> Result<String, Unusable> {
        let is_of_it = |character: char| character.is_alphabetic() || character.is_ascii_digit() || character == '_';
        let length = self.rest().find(|character| !is_of_it(character)).unwrap_or(self.rest().len());
        if length == 0 {
            return Err(self.unknown(begin));
        }
        let name = self.rest()[..length].to_owned();
        self.at += length;
        Ok(name)
    }

    /// Reads a part that must not be missing.
    fn argument(&mut self, begin: usize, ends: impl Fn(char) -> bool, escapes: bool) -> Result<String, Unusable> {
        match self.part(ends, escapes)? {
            Some(part) => Ok(part),
            None => Err(self.unknown(begin)),
        }
    }

    fn unknown(&self, begin: usize) -> Unusable {
        let line = self.text[begin..].lines().next().unwrap_or_default();
        // The form ends at the brace that closes it, after those that close inner forms.
        let mut depth = 0_usize;
        let end = line.char_indices().find_map(|(at, character)| match character {
            '{' if line[..at].ends_with('$') => {
                depth += 1;
                None
            }
            '}' => {
                depth = depth.saturating_sub(1);
                (depth == 0).then_some(at + 1)
            }
            _ => None,
        });
        let what = match end {
            Some(end) => format!("`{}` is not a form that `faas-cli` knows", &line[..end]),
            None => {
                let shown: String = line.chars().take(60).collect();
                let what = format!("`{shown}` is not closed");
                return Unusable { at: begin, what, help: "add the missing `}`, or write `$${` for a plain `${`" };
            }
        };
        Unusable { at: begin, what, help: FORMS }
    }
}

/// The forms that there are.
const FORMS: &str = "write one of `${A}`, `${A:-default}`, `${A:=default}`, `${A=default}`, `${A:offset:length}`, `${#A}`, \
                     `${A^}`, `${A^^}`, `${A,}`, `${A,,}`, `${A#prefix}`, `${A##prefix}`, `${A%suffix}`, `${A%%suffix}`, \
                     `${A/old/new}`, `${A//old/new}`, `${A/#old/new}` and `${A/%old/new}`, or `$${` for a plain `${`";

#[cfg(test)]
mod tests;
