//! A function as a stack file or a deployment describes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use faasflow_core::names::HMAC_SECRET;

/// The annotation with the address of a function that runs elsewhere.
pub const URL_ANNOTATION: &str = "faasflow.url";
/// The annotation that decides how a function runs if both ways are possible: `container` or `process`.
pub const RUN_ANNOTATION: &str = "faasflow.run";

/// The `lang` of flows, which is the name of their template.
pub(super) const FLOW: &str = "faasflow";

/// A function as its stack file or its deployment describes it.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// Its name.
    pub name: String,
    /// The folder in which its processes run: that of the stack file.
    pub folder: PathBuf,
    /// Its language, which is the name of a template.
    pub lang: Option<String>,
    /// How it runs.
    pub kind: Kind,
    /// The command that it runs, as it is written.
    pub process: Option<String>,
    /// Its environment. The environment files override its own variables.
    pub environment: BTreeMap<String, String>,
    /// The origin of each variable: the name of an environment file or of the stack file.
    pub origins: BTreeMap<String, String>,
    /// The secrets it may read.
    pub secrets: Vec<String>,
    /// Its image. If the function does not run in containers, the image is only reported.
    pub image: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The resources of its containers.
    pub resources: Resources,
}

/// The resources of a function's containers. Processes are not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// The most that each container may use.
    pub limits: Amounts,
    /// What each container gets when there is not enough for all.
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
    /// Whether it is a flow. Flows need the key for signing.
    #[must_use]
    pub fn is_flow(&self) -> bool {
        self.lang.as_deref() == Some(FLOW)
    }

    /// Whether it has the key for signing, as flows do, also those that are deployed in another way.
    pub(crate) fn has_key(&self) -> bool {
        self.is_flow() || self.secrets.iter().any(|secret| secret == HMAC_SECRET)
    }
}

/// How a function runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A cargo project in this folder, which serves HTTP.
    Cargo(PathBuf),
    /// A command, with a process for each request. It reads the request and writes the answer.
    Command(Vec<String>),
    /// A program that serves HTTP, and its arguments.
    Program(Vec<String>),
    /// A server that runs elsewhere.
    Url(http::Uri),
    /// Containers of this image, which has a watchdog or another program that serves HTTP.
    Image(String),
}
