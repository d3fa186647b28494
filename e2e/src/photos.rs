//! The photo pipelines of the examples, as parts of a suite's stack file.

use std::path::{Path, PathBuf};

/// The pipelines, the synchronous and the asynchronous one.
pub(crate) const FLOWS: [&str; 2] = ["upload-pipeline", "upload-pipeline-async"];

pub(crate) fn example() -> Result<PathBuf, String> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/upload-pipeline");
    example.canonicalize().map_err(|error| format!("{}: {error}", example.display()))
}

pub(crate) fn photo(name: &str) -> Result<Vec<u8>, String> {
    let path = example()?.join("photos").join(name);
    std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
}

pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// The functions that the pipelines call, as lines of a stack file.
pub(crate) fn functions() -> Result<String, String> {
    let example = example()?;
    let mut text = String::new();
    for name in ["facedetect", "colorization", "image-resizer", "file-storage"] {
        text.push_str(&format!(
            "  {name}:\n    lang: rust-http\n    handler: {}/functions/{name}\n",
            example.display()
        ));
        if name == "file-storage" {
            text.push_str("    environment: { storage_dir: ./storage }\n");
        }
    }
    Ok(text)
}

/// A pipeline, as lines of a stack file, with additional settings.
pub(crate) fn flow(name: &str, settings: &[(&str, String)]) -> Result<String, String> {
    let example = example()?;
    let example = example.display();
    let mut text = format!(
        "  {name}:\n    lang: faasflow\n    handler: {example}/flows/{name}\n    environment_file: [{example}/flow.yml]\n    \
         secrets: [faasflow-hmac-secret]\n"
    );
    if !settings.is_empty() {
        text.push_str("    environment:\n");
    }
    for (name, value) in settings {
        text.push_str(&format!("      {name}: '{value}'\n"));
    }
    Ok(text)
}
