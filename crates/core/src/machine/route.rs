use crate::definition::Flow;
use crate::graph::{BodyIndex, CompositeIndex, Earlier, Place, Plan, Segment};

/// How a request goes through its flow. It moves on the plan of the definition that it began with, and what it executes is that of
/// the definition that is deployed. Usually, these are the same.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    flow: &'a Flow,
    earlier: Option<&'a Earlier>,
}

impl<'a> Route<'a> {
    /// The route of a request that began with an earlier definition, or with this one if there is none.
    #[must_use]
    pub fn new(flow: &'a Flow, earlier: Option<&'a Earlier>) -> Route<'a> {
        Route { flow, earlier }
    }

    /// The deployed definition.
    #[must_use]
    pub fn flow(self) -> &'a Flow {
        self.flow
    }

    /// The plan of the definition that the request began with.
    #[must_use]
    pub fn plan(self) -> &'a Plan {
        self.earlier.map_or(self.flow.plan(), Earlier::plan)
    }

    /// The deployed segment that is executed at a place; `None` if something ahead of the place has changed, or if there is no
    /// such place.
    #[must_use]
    pub fn segment(self, place: &Place) -> Option<&'a Segment> {
        self.earlier.map_or_else(|| self.flow.plan().segment(place), |earlier| earlier.segment(place))
    }

    /// The body of the deployed definition for a body of the plan.
    #[must_use]
    pub fn body(self, body: BodyIndex) -> Option<BodyIndex> {
        self.earlier.map_or(Some(body), |earlier| earlier.body(body))
    }

    /// The body of the plan for a body of the deployed definition.
    #[must_use]
    pub fn body_before(self, deployed: BodyIndex) -> Option<BodyIndex> {
        self.earlier.map_or(Some(deployed), |earlier| earlier.body_before(deployed))
    }

    /// The composite of the deployed definition for a composite of the plan.
    #[must_use]
    pub fn composite(self, composite: CompositeIndex) -> Option<CompositeIndex> {
        self.earlier.map_or(Some(composite), |earlier| earlier.composite(composite))
    }

    /// The earlier definition, if the request began with one.
    #[must_use]
    pub fn earlier(self) -> Option<&'a Earlier> {
        self.earlier
    }
}

impl<'a> From<&'a Flow> for Route<'a> {
    fn from(flow: &'a Flow) -> Route<'a> {
        Route::new(flow, None)
    }
}
