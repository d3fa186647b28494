//! A function as a stack file or a deployment describes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The annotation that names the address of a function that is already there.
pub const URL_ANNOTATION: &str = "faasflow.url";
/// The annotation that says how a function runs that could run in either way: `container` or `process`.
pub const RUN_ANNOTATION: &str = "faasflow.run";

/// The `lang` of flows: the name of their template.
pub(super) const FLOW: &str = "faasflow";

/// One function as its stack file describes it.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// Its name.
    pub name: String,
    /// The folder of the stack file, in which its processes run.
    pub folder: PathBuf,
    /// Its language, which is the name of a template.
    pub lang: Option<String>,
    /// How it runs.
    pub kind: Kind,
    /// The command that it runs, as it is written.
    pub process: Option<String>,
    /// Its environment: its own, then that of the environment files over it.
    pub environment: BTreeMap<String, String>,
    /// Where each variable came from: the name of an environment file, or of the stack file.
    pub origins: BTreeMap<String, String>,
    /// The secrets it may read.
    pub secrets: Vec<String>,
    /// Its image. It is only reported where the function does not run as containers of it.
    pub image: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What its containers may use.
    pub resources: Resources,
}

/// What the containers of a function may use. A process may use what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// The most that each has.
    pub limits: Amounts,
    /// What each is to have when there is not enough for all.
    pub requests: Amounts,
    /// Whether their root file system is read-only.
    pub read_only_root_filesystem: bool,
}

/// Memory and processor time, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Such as `128Mi`.
    pub memory: Option<String>,
    /// Such as `100m`, a tenth of a processor.
    pub cpu: Option<String>,
}

impl FunctionSpec {
    /// Whether it is a flow, which needs the key for signing.
    #[must_use]
    pub fn is_flow(&self) -> bool {
        self.lang.as_deref() == Some(FLOW)
    }
}

/// How a function runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A cargo project in this folder, which serves HTTP.
    Cargo(PathBuf),
    /// A command that reads the request and writes the answer, a process for each.
    Command(Vec<String>),
    /// A program that serves HTTP, and its arguments.
    Program(Vec<String>),
    /// Something that is already there.
    Url(http::Uri),
    /// Containers of this image, which have a watchdog or something else that serves HTTP.
    Image(String),
}
