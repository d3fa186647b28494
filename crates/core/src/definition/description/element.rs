//! The elements of a described flow: phases, steps, and the flows inside it.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::definition::Complete;

use super::step::StepDescription;

/// A flow, a branch, or the steps for each item of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BodyDescription {
    /// Whether it has a failure handler.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_failure: bool,
    /// Its elements, in order. A body that runs within a phase consists of steps and composites. Any other body consists of
    /// phases, and composites between them.
    #[serde(rename = "body")]
    pub elements: Vec<ElementDescription>,
}

/// An element of a body or of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum ElementDescription {
    /// Steps that one request to the flow executes.
    Phase(PhaseDescription),
    /// A step.
    Step(StepDescription),
    /// A graph, choice, for-each or sub-flow. Inside a phase, it runs within the phase. Between phases, it has its own phases.
    Composite(CompositeDescription),
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "phase")]
#[non_exhaustive]
pub struct PhaseDescription {
    /// The number of the phase, from 1.
    pub number: usize,
    /// Its steps and the composites that run within it, in order. A phase without elements only begins or joins branches.
    pub steps: Vec<ElementDescription>,
}

/// A graph, choice, for-each or sub-flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CompositeDescription {
    /// Branches that run concurrently, then a join.
    Graph {
        /// When it is complete.
        complete: Complete,
        /// Whether the author's code joins the outputs.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        join: bool,
        /// The branches, in order of definition.
        branches: Vec<BranchDescription>,
    },
    /// One branch of several.
    Choice {
        /// The branches, in order of definition. The one for all other names comes last.
        branches: Vec<BranchDescription>,
    },
    /// One branch for each item of a list, then a join.
    ForEach {
        /// When it is complete.
        complete: Complete,
        /// How many items may be in flight at once.
        at_most: u32,
        /// The time limit of each item, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<String>,
        /// Whether the author's code makes the items. Otherwise the payload is a JSON array.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        split: bool,
        /// Whether the author's code joins the outputs.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        collect: bool,
        /// The steps for each item.
        #[serde(flatten)]
        item: BodyDescription,
    },
    /// Another flow as a part of this one.
    Flow {
        /// Its name in this flow.
        name: String,
        /// Its elements.
        #[serde(flatten)]
        body: BodyDescription,
    },
}

/// A branch of a graph or a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BranchDescription {
    /// Its name.
    pub name: String,
    /// The branches of the graph that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Its time limit, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Whether a choice takes it for all names that are not branches.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub otherwise: bool,
    /// Its elements.
    #[serde(flatten)]
    pub body: BodyDescription,
}

impl CompositeDescription {
    /// The bodies of its branches, in order.
    pub fn bodies(&self) -> impl Iterator<Item = &BodyDescription> {
        let (branches, body) = match self {
            CompositeDescription::Graph { branches, .. } | CompositeDescription::Choice { branches } => {
                (branches.as_slice(), None)
            }
            CompositeDescription::ForEach { item: body, .. } | CompositeDescription::Flow { body, .. } => {
                (&[][..], Some(body))
            }
        };
        branches.iter().map(|branch| &branch.body).chain(body)
    }

    /// Whether its members are joined.
    #[must_use]
    pub fn joins(&self) -> bool {
        matches!(self, CompositeDescription::Graph { .. } | CompositeDescription::ForEach { .. })
    }
}

/// Written by hand, because the errors of serde's untagged enums do not say what is wrong.
impl<'de> Deserialize<'de> for ElementDescription {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ElementDescription, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = match value["kind"].as_str() {
            Some("phase") => serde_json::from_value(value).map(ElementDescription::Phase),
            Some("graph" | "choice" | "for_each" | "flow") => {
                serde_json::from_value(value).map(ElementDescription::Composite)
            }
            Some("call" | "modifier" | "callback") => serde_json::from_value(value).map(ElementDescription::Step),
            kind => {
                let kind = kind.unwrap_or_default();
                return Err(serde::de::Error::custom(format_args!("an element is of the unknown kind `{kind}`")));
            }
        };
        read.map_err(serde::de::Error::custom)
    }
}
