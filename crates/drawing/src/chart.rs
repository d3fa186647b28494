//! A flow as nodes, edges and groups, which Mermaid and DOT lay out by themselves.

use faasflow_core::description::{
    BodyDescription, BranchDescription, CompositeDescription, Description, ElementDescription, PhaseDescription,
};

use crate::text::only_phase;
use crate::words;

/// A flow as nodes, edges and groups.
pub(crate) struct Chart {
    /// The nodes and groups that are in no group, in order.
    pub(crate) top: Vec<Item>,
    pub(crate) edges: Vec<Edge>,
}

/// A node or a group.
pub(crate) enum Item {
    Node(Node),
    Group(Group),
}

pub(crate) struct Group {
    /// A word of letters and digits.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) items: Vec<Item>,
}

pub(crate) struct Node {
    /// A word of letters and digits.
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Where a request begins and ends.
    End,
    Step,
    Choice,
    /// A phase or branch without steps.
    Point,
}

pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) label: Option<String>,
    /// Whether the request goes through the queue here.
    pub(crate) queue: bool,
}

/// Where an edge to the next node begins, and the label of that edge: the name of the branch of a choice.
#[derive(Clone)]
struct Tail {
    node: String,
    label: Option<String>,
}

impl Chart {
    pub(crate) fn new(flow: &Description) -> Chart {
        let mut drawing = Drawing { edges: Vec::new(), groups: 0, nodes: 0 };
        let end = |name: &str| Item::Node(Node { id: name.to_owned(), label: name.to_owned(), shape: Shape::End });
        let mut top = vec![end("request")];
        let tails = vec![Tail { node: "request".to_owned(), label: None }];
        let tails = drawing.elements(&flow.body.elements, tails, &mut top, false);
        drawing.connect(tails, "response", false);
        top.push(end("response"));
        Chart { top, edges: drawing.edges }
    }
}

struct Drawing {
    edges: Vec<Edge>,
    groups: usize,
    nodes: usize,
}

impl Drawing {
    /// Draws elements into `items`, connects them to `tails`, and returns the tails after them. `queue` says whether the queue
    /// leads to the first of them, for elements in a phase.
    fn elements(
        &mut self,
        elements: &[ElementDescription],
        mut tails: Vec<Tail>,
        items: &mut Vec<Item>,
        mut queue: bool,
    ) -> Vec<Tail> {
        // Whether the node of a choice is drawn as a part of the phase before it, where the choice is made.
        let mut is_chosen = false;
        for (index, element) in elements.iter().enumerate() {
            match element {
                ElementDescription::Step(step) => {
                    let id = format!("step{}", step.number);
                    let (label, shape) = (words::step(step), Shape::Step);
                    tails = self.node(Node { id, label, shape }, tails, items, queue);
                    queue = false;
                }
                ElementDescription::Phase(phase) => {
                    let before = index.checked_sub(1).and_then(|index| as_composite(&elements[index]));
                    let after = elements.get(index + 1).and_then(as_composite);
                    is_chosen = matches!(after, Some(CompositeDescription::Choice { .. }));
                    tails = self.phase(phase, &format!("phase {}", phase.number), (before, after), tails, items);
                }
                ElementDescription::Composite(composite) => {
                    if matches!(composite, CompositeDescription::Choice { .. }) && !std::mem::take(&mut is_chosen) {
                        tails = self.choice(composite, tails, items, queue);
                    }
                    tails = self.composite(composite, tails, items, queue);
                    queue = false;
                }
                _ => {}
            }
        }
        tails
    }

    /// Draws a phase between two composites. Of the one after it, only the node of a choice is drawn.
    fn phase(
        &mut self,
        phase: &PhaseDescription,
        title: &str,
        (before, after): (Option<&CompositeDescription>, Option<&CompositeDescription>),
        tails: Vec<Tail>,
        items: &mut Vec<Item>,
    ) -> Vec<Tail> {
        let mut inside = Vec::new();
        let queue = phase.number > 1;
        let joins = before.is_some_and(CompositeDescription::joins);
        let mut tails = self.elements(&phase.steps, tails, &mut inside, queue);
        let is_empty = phase.steps.is_empty();
        let choice = after.filter(|after| matches!(after, CompositeDescription::Choice { .. }));
        if is_empty && (joins || choice.is_none()) {
            let label = match before {
                Some(composite) => words::joined(composite).unwrap_or("go on"),
                None if after.is_some() => "begin",
                None => "pass through",
            };
            let node = Node { id: format!("start{}", phase.number), label: label.to_owned(), shape: Shape::Point };
            tails = self.node(node, tails, &mut inside, queue);
        }
        if let Some(choice) = choice {
            tails = self.choice(choice, tails, &mut inside, queue && is_empty && !joins);
        }
        items.push(Item::Group(Group { id: format!("phase{}", phase.number), title: title.to_owned(), items: inside }));
        tails
    }

    fn composite(
        &mut self,
        composite: &CompositeDescription,
        tails: Vec<Tail>,
        items: &mut Vec<Item>,
        queue: bool,
    ) -> Vec<Tail> {
        match composite {
            CompositeDescription::Graph { branches, .. } => self.graph(composite, branches, &tails, items, queue),
            CompositeDescription::Choice { branches, .. } => {
                let mut after = Vec::new();
                for branch in branches {
                    let name = if branch.otherwise { "otherwise" } else { &branch.name };
                    let label = |tail: &Tail| Tail { label: Some(words::clean(name)), ..tail.clone() };
                    let tails = tails.iter().map(label).collect();
                    after.extend(self.branch(branch, tails, items, false));
                }
                after
            }
            _ => {
                let mut tails = tails;
                for body in composite.bodies() {
                    let mut inside = Vec::new();
                    tails = self.elements(&body.elements, tails, &mut inside, queue);
                    self.group(words::composite(composite), inside, items);
                }
                tails
            }
        }
    }

    /// Draws the node of a choice.
    fn choice(
        &mut self,
        choice: &CompositeDescription,
        tails: Vec<Tail>,
        items: &mut Vec<Item>,
        queue: bool,
    ) -> Vec<Tail> {
        self.nodes += 1;
        let id = format!("choice{}", self.nodes);
        self.node(Node { id, label: words::composite(choice), shape: Shape::Choice }, tails, items, queue)
    }

    fn graph(
        &mut self,
        composite: &CompositeDescription,
        branches: &[BranchDescription],
        tails: &[Tail],
        items: &mut Vec<Item>,
        queue: bool,
    ) -> Vec<Tail> {
        let mut inside = Vec::new();
        let mut after: Vec<Option<Vec<Tail>>> = vec![None; branches.len()];
        let index = |name: &String| branches.iter().position(|branch| branch.name == *name);
        // Branches can be defined in any order. Each round draws the branches whose predecessors have been drawn.
        while after.iter().any(Option::is_none) {
            let before = after.iter().flatten().count();
            for (number, branch) in branches.iter().enumerate() {
                let waits_for: Vec<usize> = branch.after.iter().filter_map(index).collect();
                if after[number].is_some() || waits_for.iter().any(|&other| after[other].is_none()) {
                    continue;
                }
                let from = match waits_for.is_empty() {
                    true => tails.to_vec(),
                    false => waits_for.iter().flat_map(|&other| after[other].clone().unwrap_or_default()).collect(),
                };
                after[number] = Some(self.branch(branch, from, &mut inside, queue && waits_for.is_empty()));
            }
            if after.iter().flatten().count() == before {
                // The rest wait for each other. `build` refuses such a flow, but a description can contain it.
                break;
            }
        }
        self.group(words::composite(composite), inside, items);
        let is_end = |branch: &BranchDescription| !branches.iter().any(|other| other.after.contains(&branch.name));
        let ends = branches.iter().zip(after).filter(|(branch, _)| is_end(branch));
        ends.filter_map(|(_, tails)| tails).flatten().collect()
    }

    fn branch(
        &mut self,
        branch: &BranchDescription,
        tails: Vec<Tail>,
        items: &mut Vec<Item>,
        queue: bool,
    ) -> Vec<Tail> {
        let only = only_phase(&branch.body);
        let title = words::branch(branch, only.map(|phase| phase.number));
        if let Some(phase) = only {
            return self.phase(phase, &title, (None, None), tails, items);
        }
        let BodyDescription { elements, .. } = &branch.body;
        let is_choice = tails.iter().any(|tail| tail.label.is_some());
        if elements.is_empty() && is_choice {
            return tails;
        }
        let mut inside = Vec::new();
        let mut after = self.elements(elements, tails.clone(), &mut inside, queue);
        if elements.is_empty() {
            self.nodes += 1;
            let node =
                Node { id: format!("empty{}", self.nodes), label: "pass through".to_owned(), shape: Shape::Point };
            after = self.node(node, tails, &mut inside, queue);
        }
        self.group(title, inside, items);
        after
    }

    fn group(&mut self, title: String, inside: Vec<Item>, items: &mut Vec<Item>) {
        self.groups += 1;
        items.push(Item::Group(Group { id: format!("group{}", self.groups), title, items: inside }));
    }

    fn node(&mut self, node: Node, tails: Vec<Tail>, items: &mut Vec<Item>, queue: bool) -> Vec<Tail> {
        self.connect(tails, &node.id, queue);
        let tail = Tail { node: node.id.clone(), label: None };
        items.push(Item::Node(node));
        vec![tail]
    }

    fn connect(&mut self, tails: Vec<Tail>, to: &str, queue: bool) {
        for Tail { node, label } in tails {
            self.edges.push(Edge { from: node, to: to.to_owned(), label, queue });
        }
    }
}

fn as_composite(element: &ElementDescription) -> Option<&CompositeDescription> {
    match element {
        ElementDescription::Composite(composite) => Some(composite),
        _ => None,
    }
}
