//! What a described flow consists of: phases, steps, and the flows inside it.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::definition::Complete;

use super::step::StepDescription;

/// A flow, a branch, or what happens to each item of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BodyDescription {
    /// Whether it has a failure handler.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_failure: bool,
    /// What it consists of, in order. A body whose steps run within a phase has steps and composites. Any other has phases, and
    /// composites between them.
    #[serde(rename = "body")]
    pub elements: Vec<ElementDescription>,
}

/// An element of a body or of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum ElementDescription {
    /// What runs in one request to the flow.
    Phase(PhaseDescription),
    /// A step.
    Step(StepDescription),
    /// Flows inside the flow. In a phase, it runs within the phase. Between phases, it has phases of its own.
    Composite(CompositeDescription),
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "phase")]
#[non_exhaustive]
pub struct PhaseDescription {
    /// The number of the phase, from 1.
    pub number: usize,
    /// Its steps and the composites that run within it, in order. A phase without any begins or joins branches.
    pub steps: Vec<ElementDescription>,
}

/// A graph, choice, for-each or sub-flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CompositeDescription {
    /// Branches side by side, then a join.
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
        /// The branches, in order of definition. The one for all other names is the last.
        branches: Vec<BranchDescription>,
    },
    /// One branch for each item of a list, then a join.
    ForEach {
        /// When it is complete.
        complete: Complete,
        /// How many items are in flight at once.
        at_most: u32,
        /// How long each item may take, if that is limited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<String>,
        /// Whether the author's code makes the items. Otherwise the payload is a JSON array.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        split: bool,
        /// Whether the author's code joins the outputs.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        collect: bool,
        /// What happens to each item.
        #[serde(flatten)]
        item: BodyDescription,
    },
    /// A flow by value.
    Flow {
        /// Its name in this flow.
        name: String,
        /// What it consists of.
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
    /// How long it may take, if that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Whether a choice takes it for all names that are not branches.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub otherwise: bool,
    /// What it consists of.
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

    /// Whether its members come together at a join.
    #[must_use]
    pub fn joins(&self) -> bool {
        matches!(self, CompositeDescription::Graph { .. } | CompositeDescription::ForEach { .. })
    }
}

/// By hand, because an error of serde's untagged enums does not say what is wrong.
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
