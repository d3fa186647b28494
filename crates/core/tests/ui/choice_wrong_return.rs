//! A choice that does not return the name of a branch.
use faasflow_core::Choice;

async fn larger(text: String) -> bool {
    text.len() > 9
}

fn main() {
    let _ = Choice::new(larger);
}
