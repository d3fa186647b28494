//! Names: no `get_` on accessors, no modules such as `util`, and only one type called a manager.

use super::Fault;
use super::source::{Kind, Source};

pub(super) fn check(source: &Source) -> Vec<Fault> {
    if source.is_beside_the_product() {
        return Vec::new();
    }
    let found = source.items.iter().filter_map(|item| {
        let (name, kind) = (item.name.as_str(), item.kind);
        let what = match kind {
            // With a parameter, it looks something up, and `get` is right.
            Kind::Function if item.public && name.starts_with("get_") && item.parameters == 0 => {
                format!("`{name}`: call it `{}`", name.trim_start_matches("get_"))
            }
            Kind::Module if ["util", "utils", "common", "helpers", "misc"].contains(&name) => {
                format!("module `{name}`: name it after its content")
            }
            Kind::Type if name.ends_with("Manager") && name != "StateManager" => {
                format!("`{name}`: name the type after what it does, not `Manager`")
            }
            _ => return None,
        };
        Some(Fault { rule: "names", place: source.place(item.line), what })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_are_found() {
        let text = "pub mod util {} pub struct QueueManager; pub trait StateManager {} impl X { pub fn get_name(&self) {} \
                    pub fn get_bytes(&self, key: &str) {} fn get_own(&self) {} } \
                    pub trait Y { fn get_size(&self); } pub type CallManager = u8; trait Z { fn get_own(&self); }";
        let found = check(&Source::parse("crates/core/src/x.rs", text).unwrap());
        assert_eq!(found.len(), 5, "{found:?}");
    }
}
