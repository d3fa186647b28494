//! Markdown as far as a test must understand it: fenced blocks, and comments that direct the test.

use std::path::Path;

/// A page.
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) name: String,
    pub(crate) blocks: Vec<Block>,
    /// The example whose copy commands run in.
    pub(crate) example: Option<String>,
    /// The example that is to be up, or [`OWN`].
    pub(crate) up: Option<String>,
}

/// Instead of an example: the reader's own project, which the page makes.
pub(crate) const OWN: &str = ".";

/// A fenced block.
pub(crate) struct Block {
    /// Page and line.
    pub(crate) place: String,
    pub(crate) language: String,
    pub(crate) attributes: Vec<String>,
    pub(crate) text: String,
    /// The file that runs its commands instead.
    pub(crate) run_by: Option<String>,
    /// The file of the reader's project that the block is the text of.
    pub(crate) file: Option<String>,
}

impl Page {
    pub(crate) fn read(root: &Path, path: &Path) -> Page {
        let name = path.strip_prefix(root).expect("a page is in the repository").display().to_string();
        let text = std::fs::read_to_string(path).expect("a page is text");
        let (mut up, mut example, mut run_by, mut file) = (None, None, None, None);
        let mut blocks = Vec::new();
        let mut open = None::<Block>;
        for (index, line) in text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, Some(info)) => {
                    let mut words = info.split(',').map(|word| word.trim().to_owned());
                    open = Some(Block {
                        place: format!("{name}:{}", index + 1),
                        language: words.next().unwrap_or_default(),
                        attributes: words.collect(),
                        text: String::new(),
                        run_by: run_by.take(),
                        file: file.take(),
                    });
                }
                (None, None) => {
                    let directive = |key: &str| {
                        let rest = line.strip_prefix("<!-- ")?.strip_prefix(key)?;
                        Some(rest.strip_suffix(" -->")?.to_owned())
                    };
                    up = up.or_else(|| directive("up: "));
                    example = example.or_else(|| directive("in: "));
                    run_by = directive("run by: ").or(run_by);
                    file = directive("file: ").or(file);
                }
            }
        }
        assert!(open.is_none(), "{name}: a block is not closed");
        let example = example.or_else(|| up.clone().filter(|up| up != OWN));
        Page { name, blocks, example, up }
    }
}
