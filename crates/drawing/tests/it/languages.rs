//! Flows in the languages of Mermaid and Graphviz.

use faasflow_drawing::{dot, mermaid};

use crate::flows;

#[test]
fn every_shape_is_drawn() {
    for (name, flow) in flows::all() {
        insta::assert_snapshot!(format!("{name}.mermaid"), mermaid(&flow));
        insta::assert_snapshot!(format!("{name}.dot"), dot(&flow));
    }
}
