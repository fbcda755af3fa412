//! The kind of a file by its content, for error messages when a file that was given as a model or as prompts is
//! neither. It reads the beginning and the end of a file, and no tensors.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// Bytes of a file's beginning that are examined.
const START_BYTES: usize = 4096;
/// Largest header of a safetensors file; real ones are far smaller.
const HEADER_BYTES_MAX: u64 = 64 << 20;
/// Bytes that contain a zip's end record: 22 bytes and a comment of at most 65,535.
const ZIP_END_BYTES: u64 = 66_000;
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The kind of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelFileKind {
    /// A file of no bytes.
    Empty,
    /// A pointer to a file in Git LFS.
    LfsPointer {
        /// Length of the file that it points to.
        bytes: Option<u64>,
    },
    /// A web page, usually one that says why the download failed.
    Html,
    /// JSON.
    Json,
    /// Plain text.
    Text,
    /// A safetensors file, with the kind of its tensors.
    Safetensors(TensorKind),
    /// A truncated safetensors file.
    CutSafetensors {
        /// Length of the file.
        bytes: u64,
        /// Length that its header implies.
        needed: u64,
    },
    /// A file of `torch.save` or `torch.jit.save`.
    Torch,
    /// A truncated zip archive, most likely of `torch.save`.
    CutTorch,
    /// A pickle, as `torch.save` wrote before PyTorch 1.6, or another Python program.
    Pickle,
    /// Another kind, by its name.
    Other(&'static str),
    /// An unknown kind.
    Unknown,
}

/// The kind of a file's tensors, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorKind {
    /// CLIP-DQA's learned prompts.
    Prompts,
    /// A CLIP with both towers, under the names of any supported library.
    Clip,
    /// One tower of a CLIP.
    Tower,
    /// A low-rank adaptation of another model's weights.
    Lora,
    /// Other tensors.
    Other,
}

/// The role that a file was given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// A model's weights.
    Weights,
    /// A model's configuration.
    Config,
    /// Learned prompts.
    Prompts,
}

impl FileRole {
    /// Returns the role's name with its article.
    fn as_str(self) -> &'static str {
        match self {
            FileRole::Weights => "a model's weights",
            FileRole::Config => "a model's configuration",
            FileRole::Prompts => "learned prompts",
        }
    }
}

impl ModelFileKind {
    /// Detects the kind of a file.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn detect(path: &Path) -> io::Result<ModelFileKind> {
        let found = std::fs::metadata(path)?;
        // Opening a pipe would block until another process writes to it.
        if !found.is_file() && !found.is_dir() {
            return Ok(ModelFileKind::Other("a pipe or a device"));
        }
        let (mut file, bytes) = (File::open(path)?, found.len());
        let mut start = Vec::new();
        file.by_ref().take(START_BYTES as u64).read_to_end(&mut start)?;
        if start.is_empty() {
            return Ok(ModelFileKind::Empty);
        }
        if start.starts_with(LFS) {
            let text = String::from_utf8_lossy(&start);
            let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
            return Ok(ModelFileKind::LfsPointer { bytes: size });
        }
        if let Some(kind) = detect_safetensors(&mut file, &start, bytes)? {
            return Ok(kind);
        }
        Ok(match &start[..] {
            [b'P', b'K', 3, 4, ..] => detect_zip(&mut file, &start, bytes)?,
            [0x80, 2..=5, ..] => ModelFileKind::Pickle,
            [0x89, b'H', b'D', b'F', ..] => {
                ModelFileKind::Other("an HDF5 file (Keras and TensorFlow write `tf_model.h5`)")
            }
            [0x1f, 0x8b, ..] => ModelFileKind::Other("a gzip archive"),
            [b'G', b'G', b'U', b'F', ..] => ModelFileKind::Other("a GGUF file of llama.cpp"),
            [0x89, b'P', b'N', b'G', ..] => ModelFileKind::Other("a PNG picture"),
            [0xff, 0xd8, 0xff, ..] => ModelFileKind::Other("a JPEG picture"),
            [b'7', b'z', 0xbc, 0xaf, ..] => ModelFileKind::Other("a 7z archive"),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => ModelFileKind::Other("a NumPy array"),
            _ if start.get(257..262) == Some(b"ustar".as_slice()) => ModelFileKind::Other("a tar archive"),
            _ => detect_text(&start),
        })
    }

    /// Returns whether a file of this kind may have the role. Only opening it tells whether it does.
    pub fn may_be(&self, role: FileRole) -> bool {
        match role {
            FileRole::Config => matches!(self, ModelFileKind::Json),
            FileRole::Weights => {
                matches!(self, ModelFileKind::Torch | ModelFileKind::Pickle | ModelFileKind::Unknown)
                    || self.has_no_prompts()
            }
            FileRole::Prompts => match self {
                // A model with learned prompts in it counts as prompts already.
                ModelFileKind::Safetensors(tensors) => *tensors != TensorKind::Clip,
                _ => matches!(self, ModelFileKind::Torch | ModelFileKind::Pickle | ModelFileKind::Unknown),
            },
        }
    }

    fn has_no_prompts(&self) -> bool {
        matches!(self, ModelFileKind::Safetensors(tensors) if *tensors != TensorKind::Prompts)
    }

    /// Returns a message: the kind, that it does not fit the role, and what to do.
    pub fn mismatch_message(&self, role: FileRole) -> String {
        let advice = self.advice(role);
        match self {
            ModelFileKind::Empty | ModelFileKind::CutSafetensors { .. } | ModelFileKind::CutTorch => {
                format!("{self}: {advice}")
            }
            _ => format!("{self}, and not {}: {advice}", role.as_str()),
        }
    }

    fn advice(&self, role: FileRole) -> &'static str {
        match (self, role) {
            (ModelFileKind::LfsPointer { .. }, _) => "run `git lfs pull` in the clone that it is in",
            (ModelFileKind::Html, _) => {
                "download the file itself: the address of a page was saved, or a login or an error came"
            }
            (ModelFileKind::Safetensors(TensorKind::Prompts), FileRole::Weights) => {
                "give it with --prompts, and CLIP with --model"
            }
            (ModelFileKind::Safetensors(TensorKind::Clip), FileRole::Prompts) => {
                "give it with --model, and learned prompts with --prompts"
            }
            (ModelFileKind::CutSafetensors { .. } | ModelFileKind::CutTorch | ModelFileKind::Empty, _) => {
                "copy or download it again"
            }
            (ModelFileKind::Other("a gzip archive" | "a tar archive" | "a 7z archive" | "a zip archive"), _) => {
                "unpack it, and give what is in it"
            }
            (_, FileRole::Config) => "take the configuration that belongs to the weights",
            (_, FileRole::Weights) => {
                "a model is `dqa:small`, `hf:OWNER/NAME`, a folder with config.json and model.safetensors or pytorch_model.bin, \
                 or a file as OpenAI's ViT-B-32.pt"
            }
            (_, FileRole::Prompts) => {
                "prompts are a safetensors file or a PyTorch checkpoint with `prompts_text.0`, ..., as `dqa-coord train` or the \
                 authors' code write it"
            }
        }
    }
}

impl fmt::Display for ModelFileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ModelFileKind::Empty => "an empty file",
            ModelFileKind::LfsPointer { bytes: Some(bytes) } => {
                return write!(f, "a Git LFS pointer that stands for a file of {bytes} bytes, not that file");
            }
            ModelFileKind::LfsPointer { bytes: None } => "a Git LFS pointer, not the file that it stands for",
            ModelFileKind::Html => "an HTML page",
            ModelFileKind::Json => "a JSON text",
            ModelFileKind::Text => "a text",
            ModelFileKind::Safetensors(TensorKind::Prompts) => "a safetensors file of learned prompts",
            ModelFileKind::Safetensors(TensorKind::Clip) => "a safetensors file of a CLIP model",
            ModelFileKind::Safetensors(TensorKind::Tower) => "a safetensors file of one tower of a CLIP model",
            ModelFileKind::Safetensors(TensorKind::Lora) => "a safetensors file of a LoRA",
            ModelFileKind::Safetensors(TensorKind::Other) => "a safetensors file of another model",
            ModelFileKind::CutSafetensors { bytes, needed } => {
                return write!(f, "a safetensors file that is cut short ({bytes} bytes of {needed})");
            }
            ModelFileKind::Torch => "a PyTorch file",
            ModelFileKind::CutTorch => "a PyTorch file or another zip archive that is cut short",
            ModelFileKind::Pickle => "a pickle",
            ModelFileKind::Other(name) => name,
            ModelFileKind::Unknown => "a file of an unknown kind",
        })
    }
}

/// Detects a file that begins as safetensors do: 8 bytes of the header's length, and the header, which is JSON.
fn detect_safetensors(file: &mut File, start: &[u8], bytes: u64) -> io::Result<Option<ModelFileKind>> {
    let Some((length, [b'{', ..])) = start.split_first_chunk::<8>() else {
        return Ok(None);
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX {
        return Ok(None);
    }
    if length > bytes - 8 {
        return Ok(Some(ModelFileKind::CutSafetensors { bytes, needed: 8 + length }));
    }
    let mut header = Vec::new();
    file.seek(SeekFrom::Start(8))?;
    file.by_ref().take(length).read_to_end(&mut header)?;
    let Ok(header) = serde_json::from_slice::<BTreeMap<String, Value>>(&header) else {
        return Ok(None);
    };
    let end = |tensor: &Value| tensor.get("data_offsets")?.get(1)?.as_u64();
    let needed = (8 + length).saturating_add(header.values().filter_map(end).max().unwrap_or(0));
    if needed > bytes {
        return Ok(Some(ModelFileKind::CutSafetensors { bytes, needed }));
    }
    Ok(Some(ModelFileKind::Safetensors(TensorKind::from_names(header.keys().map(String::as_str)))))
}

impl TensorKind {
    fn from_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> TensorKind {
        let any = |parts: &[&str]| names.clone().any(|name| parts.iter().any(|part| name.contains(part)));
        let vision = any(&["vision_model.", "visual."]);
        let text = any(&["text_model.", "token_embedding."]);
        if any(&["prompts_text.", "prompts_vis."]) {
            TensorKind::Prompts
        } else if any(&["lora_A", "lora_down", "lora_up"]) {
            TensorKind::Lora
        } else if vision && text {
            TensorKind::Clip
        } else if vision || text {
            TensorKind::Tower
        } else {
            TensorKind::Other
        }
    }
}

fn detect_zip(file: &mut File, start: &[u8], bytes: u64) -> io::Result<ModelFileKind> {
    file.seek(SeekFrom::Start(bytes.saturating_sub(ZIP_END_BYTES)))?;
    let mut end = Vec::new();
    file.take(ZIP_END_BYTES).read_to_end(&mut end)?;
    if !end.windows(4).any(|four| four == [b'P', b'K', 5, 6]) {
        return Ok(ModelFileKind::CutTorch);
    }
    let length = start.get(26..28).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let first = start.get(30..30 + length).unwrap_or_default();
    Ok(match first {
        name if name.ends_with(b".npy") => ModelFileKind::Other("an archive of NumPy arrays"),
        name if name.starts_with(b"[Content_Types]") => ModelFileKind::Other("a document of an office program"),
        // `torch` puts everything into a folder; which of its files comes first depends on the version.
        name if name.contains(&b'/') => ModelFileKind::Torch,
        _ => ModelFileKind::Other("a zip archive"),
    })
}

fn detect_text(start: &[u8]) -> ModelFileKind {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if start.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&start[..error.valid_up_to()]).expect("it is valid up to there")
        }
        Err(_) => return ModelFileKind::Unknown,
    };
    let trimmed = text.trim_start_matches('\u{feff}').trim_start();
    let lower = trimmed.get(..trimmed.len().min(16)).unwrap_or_default().to_ascii_lowercase();
    if ["<!doctype", "<html", "<?xml", "<head", "<error"].iter().any(|tag| lower.starts_with(tag)) {
        ModelFileKind::Html
    } else if trimmed.starts_with(['{', '[']) {
        ModelFileKind::Json
    } else if text.chars().all(|c| !c.is_control() || c.is_whitespace()) {
        ModelFileKind::Text
    } else {
        ModelFileKind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn detect(content: &[u8]) -> ModelFileKind {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        ModelFileKind::detect(file.path()).unwrap()
    }

    fn header(json: &str, data: usize) -> Vec<u8> {
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(json.as_bytes());
        file.extend(vec![0; data]);
        file
    }

    proptest! {
        #[test]
        fn any_file_is_something(start in 0..5usize, rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let starts: [&[u8]; 5] = [b"", b"PK\x03\x04", b"\x80\x02", b"\x10\0\0\0\0\0\0\0{", b"<html"];
            let kind = detect(&[starts[start], &rest].concat());
            prop_assert!(!kind.to_string().is_empty());
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        assert_eq!(ModelFileKind::detect(Path::new("/dev/null")).unwrap(), ModelFileKind::Other("a pipe or a device"));
    }

    #[test]
    fn what_people_have_instead_of_a_model() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 605157884\n";
        assert_eq!(detect(pointer), ModelFileKind::LfsPointer { bytes: Some(605_157_884) });
        assert_eq!(detect(b""), ModelFileKind::Empty);
        assert_eq!(detect(b"\n<!DOCTYPE html><html>"), ModelFileKind::Html);
        assert_eq!(detect(b"{\"error\": \"Repository not found\"}"), ModelFileKind::Json);
        assert_eq!(detect(b"Entry not found"), ModelFileKind::Text);
        assert_eq!(
            detect(b"\x89HDF\r\n\x1a\n"),
            ModelFileKind::Other("an HDF5 file (Keras and TensorFlow write `tf_model.h5`)")
        );
        assert_eq!(detect(&[0x80, 2, 0x8a]), ModelFileKind::Pickle);
        assert_eq!(detect(b"PK\x03\x04 and no end"), ModelFileKind::CutTorch);
        assert_eq!(detect(&[0, 1, 2, 0xff, 0xfe]), ModelFileKind::Unknown);
    }

    #[test]
    fn safetensors_are_told_by_their_names_and_their_length() {
        let tensor = |name: &str| format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        let prompts = tensor("prompts_text.0");
        assert_eq!(detect(&header(&prompts, 4)), ModelFileKind::Safetensors(TensorKind::Prompts));
        assert_eq!(detect(&header(&tensor("vision_model.x"), 4)), ModelFileKind::Safetensors(TensorKind::Tower));
        assert_eq!(detect(&header(&tensor("unet.down_blocks"), 4)), ModelFileKind::Safetensors(TensorKind::Other));
        let whole = header(&prompts, 4);
        let needed = whole.len() as u64;
        assert_eq!(detect(&whole[..whole.len() - 1]), ModelFileKind::CutSafetensors { bytes: needed - 1, needed });
        assert_eq!(detect(&whole[..20]), ModelFileKind::CutSafetensors { bytes: 20, needed: needed - 4 });
        assert!(!ModelFileKind::Safetensors(TensorKind::Prompts).may_be(FileRole::Weights));
        assert!(
            ModelFileKind::Safetensors(TensorKind::Other).may_be(FileRole::Weights),
            "opening it says what is missing"
        );
    }
}
