use faasflow_core::code::{self, Code};

/// The kind of a [`StackError`](super::StackError).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackErrorKind {
    /// The file or folder does not exist, or the folder has no stack file.
    Missing,
    /// The file cannot be read. The source says why.
    Unreadable,
    /// The file is not saved as UTF-8.
    Encoding,
    /// The file is not YAML.
    Syntax,
    /// A variable cannot be inserted.
    Substitution,
    /// A key is missing, or a value has the wrong type.
    Structure,
    /// A value of a function cannot be used.
    Value,
    /// A function does not say how it runs.
    HowToRun,
}

impl StackErrorKind {
    /// The code of errors of this kind.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            StackErrorKind::Missing => code::NO_STACK_FILE,
            StackErrorKind::Unreadable => code::STACK_FILE_UNREADABLE,
            StackErrorKind::Encoding => code::NOT_UTF8,
            StackErrorKind::Syntax => code::NOT_YAML,
            StackErrorKind::Substitution => code::BAD_SUBSTITUTION,
            StackErrorKind::Structure => code::BAD_STACK_FILE,
            StackErrorKind::Value => code::BAD_FUNCTION_VALUE,
            StackErrorKind::HowToRun => code::HOW_TO_RUN,
        }
    }
}
