//! What a file is by its content, for whoever gave it as a model or as prompts and finds that it is neither. It reads the
//! beginning and the end of a file, and no tensors.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// As much of a file's beginning as is looked at.
const START_BYTES: usize = 4096;
/// A larger header is of no file that anybody has.
const HEADER_BYTES_MAX: u64 = 64 << 20;
/// A zip's directory ends in its last 22 bytes and a comment of at most 65,535.
const ZIP_END_BYTES: u64 = 66_000;
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No bytes.
    Empty,
    /// A text that stands for a file in Git LFS, of so many bytes.
    LfsPointer {
        /// Of the file that it stands for.
        bytes: Option<u64>,
    },
    /// A page, mostly one that says why there is no file.
    Html,
    /// JSON.
    Json,
    /// Something else to be read by people.
    Text,
    /// A safetensors file, with what its tensors are.
    Safetensors(Tensors),
    /// A safetensors file without its end.
    CutSafetensors {
        /// Bytes that are there.
        bytes: u64,
        /// Bytes that its header calls for.
        needed: u64,
    },
    /// What `torch.save` and `torch.jit.save` write.
    Torch,
    /// The same without its end.
    CutTorch,
    /// A pickle: what `torch.save` wrote before 1.6, or another program of Python's.
    Pickle,
    /// A file of another kind, as it is called.
    Other(&'static str),
    /// Of no kind that is known here.
    Unknown,
}

/// What the names of a file's tensors are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tensors {
    /// CLIP-DQA's learned prompts.
    Prompts,
    /// A CLIP with both towers, under anybody's names.
    Clip,
    /// One tower of a CLIP.
    Tower,
    /// Small changes to another model's weights.
    Lora,
    /// Something else.
    Other,
}

/// What a file was given as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A model's weights.
    Weights,
    /// A model's configuration.
    Config,
    /// Learned prompts.
    Prompts,
}

impl Role {
    /// With its article.
    fn as_str(self) -> &'static str {
        match self {
            Role::Weights => "a model's weights",
            Role::Config => "a model's configuration",
            Role::Prompts => "learned prompts",
        }
    }
}

impl Kind {
    /// Looks at a file.
    ///
    /// # Errors
    /// What the system says where it cannot be read.
    pub fn of(path: &Path) -> io::Result<Kind> {
        let found = std::fs::metadata(path)?;
        // Whoever opens a pipe waits for somebody to write to it.
        if !found.is_file() && !found.is_dir() {
            return Ok(Kind::Other("a pipe or a device"));
        }
        let (mut file, bytes) = (File::open(path)?, found.len());
        let mut start = Vec::new();
        file.by_ref().take(START_BYTES as u64).read_to_end(&mut start)?;
        if start.is_empty() {
            return Ok(Kind::Empty);
        }
        if start.starts_with(LFS) {
            let text = String::from_utf8_lossy(&start);
            let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
            return Ok(Kind::LfsPointer { bytes: size });
        }
        if let Some(kind) = safetensors(&mut file, &start, bytes)? {
            return Ok(kind);
        }
        Ok(match &start[..] {
            [b'P', b'K', 3, 4, ..] => zip(&mut file, &start, bytes)?,
            [0x80, 2..=5, ..] => Kind::Pickle,
            [0x89, b'H', b'D', b'F', ..] => Kind::Other("an HDF5 file (Keras and TensorFlow write `tf_model.h5`)"),
            [0x1f, 0x8b, ..] => Kind::Other("a gzip archive"),
            [b'G', b'G', b'U', b'F', ..] => Kind::Other("a GGUF file of llama.cpp"),
            [0x89, b'P', b'N', b'G', ..] => Kind::Other("a PNG picture"),
            [0xff, 0xd8, 0xff, ..] => Kind::Other("a JPEG picture"),
            [b'7', b'z', 0xbc, 0xaf, ..] => Kind::Other("a 7z archive"),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Kind::Other("a NumPy array"),
            _ if start.get(257..262) == Some(b"ustar".as_slice()) => Kind::Other("a tar archive"),
            _ => text(&start),
        })
    }

    /// Whether a file that was given as this may be it; whether it is, only opening it tells.
    pub fn may_be(&self, role: Role) -> bool {
        match role {
            Role::Config => matches!(self, Kind::Json),
            Role::Weights => matches!(self, Kind::Torch | Kind::Pickle | Kind::Unknown) || self.has_no_prompts(),
            Role::Prompts => match self {
                // A whole model may have learned prompts in it; then it is told by them.
                Kind::Safetensors(tensors) => *tensors != Tensors::Clip,
                _ => matches!(self, Kind::Torch | Kind::Pickle | Kind::Unknown),
            },
        }
    }

    fn has_no_prompts(&self) -> bool {
        matches!(self, Kind::Safetensors(tensors) if *tensors != Tensors::Prompts)
    }

    /// What it is, that it is not what it was given as, and what to do.
    pub fn instead_of(&self, role: Role) -> String {
        let advice = self.advice(role);
        match self {
            Kind::Empty | Kind::CutSafetensors { .. } | Kind::CutTorch => format!("{self}: {advice}"),
            _ => format!("{self}, and not {}: {advice}", role.as_str()),
        }
    }

    fn advice(&self, role: Role) -> &'static str {
        match (self, role) {
            (Kind::LfsPointer { .. }, _) => "run `git lfs pull` in the clone that it is in",
            (Kind::Html, _) => "download the file itself: the address of a page was saved, or a login or an error came",
            (Kind::Safetensors(Tensors::Prompts), Role::Weights) => "give it with --prompts, and CLIP with --model",
            (Kind::Safetensors(Tensors::Clip), Role::Prompts) => {
                "give it with --model, and learned prompts with --prompts"
            }
            (Kind::CutSafetensors { .. } | Kind::CutTorch | Kind::Empty, _) => "copy or download it again",
            (Kind::Other("a gzip archive" | "a tar archive" | "a 7z archive" | "a zip archive"), _) => {
                "unpack it, and give what is in it"
            }
            (_, Role::Config) => "take the configuration that belongs to the weights",
            (_, Role::Weights) => {
                "a model is `dqa:small`, `hf:OWNER/NAME`, a folder with config.json and model.safetensors or pytorch_model.bin, \
                 or a file as OpenAI's ViT-B-32.pt"
            }
            (_, Role::Prompts) => {
                "prompts are a safetensors file or a PyTorch checkpoint with `prompts_text.0`, ..., as `dqa-coord train` or the \
                 authors' code write it"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Empty => "an empty file",
            Kind::LfsPointer { bytes: Some(bytes) } => {
                return write!(f, "a Git LFS pointer that stands for a file of {bytes} bytes, not that file");
            }
            Kind::LfsPointer { bytes: None } => "a Git LFS pointer, not the file that it stands for",
            Kind::Html => "an HTML page",
            Kind::Json => "a JSON text",
            Kind::Text => "a text",
            Kind::Safetensors(Tensors::Prompts) => "a safetensors file of learned prompts",
            Kind::Safetensors(Tensors::Clip) => "a safetensors file of a CLIP model",
            Kind::Safetensors(Tensors::Tower) => "a safetensors file of one tower of a CLIP model",
            Kind::Safetensors(Tensors::Lora) => "a safetensors file of a LoRA",
            Kind::Safetensors(Tensors::Other) => "a safetensors file of another model",
            Kind::CutSafetensors { bytes, needed } => {
                return write!(f, "a safetensors file that is cut short ({bytes} bytes of {needed})");
            }
            Kind::Torch => "a PyTorch file",
            Kind::CutTorch => "a PyTorch file or another zip archive that is cut short",
            Kind::Pickle => "a pickle",
            Kind::Other(name) => name,
            Kind::Unknown => "a file of an unknown kind",
        })
    }
}

/// Of a file that begins as safetensors do: 8 bytes of the header's length, and the header, which is JSON.
fn safetensors(file: &mut File, start: &[u8], bytes: u64) -> io::Result<Option<Kind>> {
    let Some((length, [b'{', ..])) = start.split_first_chunk::<8>() else {
        return Ok(None);
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX {
        return Ok(None);
    }
    if length > bytes - 8 {
        return Ok(Some(Kind::CutSafetensors { bytes, needed: 8 + length }));
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
        return Ok(Some(Kind::CutSafetensors { bytes, needed }));
    }
    Ok(Some(Kind::Safetensors(Tensors::of(header.keys().map(String::as_str)))))
}

impl Tensors {
    fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Tensors {
        let any = |parts: &[&str]| names.clone().any(|name| parts.iter().any(|part| name.contains(part)));
        let vision = any(&["vision_model.", "visual."]);
        let text = any(&["text_model.", "token_embedding."]);
        if any(&["prompts_text.", "prompts_vis."]) {
            Tensors::Prompts
        } else if any(&["lora_A", "lora_down", "lora_up"]) {
            Tensors::Lora
        } else if vision && text {
            Tensors::Clip
        } else if vision || text {
            Tensors::Tower
        } else {
            Tensors::Other
        }
    }
}

fn zip(file: &mut File, start: &[u8], bytes: u64) -> io::Result<Kind> {
    file.seek(SeekFrom::Start(bytes.saturating_sub(ZIP_END_BYTES)))?;
    let mut end = Vec::new();
    file.take(ZIP_END_BYTES).read_to_end(&mut end)?;
    if !end.windows(4).any(|four| four == [b'P', b'K', 5, 6]) {
        return Ok(Kind::CutTorch);
    }
    let length = start.get(26..28).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let first = start.get(30..30 + length).unwrap_or_default();
    Ok(match first {
        name if name.ends_with(b".npy") => Kind::Other("an archive of NumPy arrays"),
        name if name.starts_with(b"[Content_Types]") => Kind::Other("a document of an office program"),
        // `torch` puts all into a folder; which of its files comes first depends on the version.
        name if name.contains(&b'/') => Kind::Torch,
        _ => Kind::Other("a zip archive"),
    })
}

fn text(start: &[u8]) -> Kind {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The last letter may be cut.
        Err(error) if start.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&start[..error.valid_up_to()]).expect("it is valid up to there")
        }
        Err(_) => return Kind::Unknown,
    };
    let trimmed = text.trim_start_matches('\u{feff}').trim_start();
    let lower = trimmed.get(..trimmed.len().min(16)).unwrap_or_default().to_ascii_lowercase();
    if ["<!doctype", "<html", "<?xml", "<head", "<error"].iter().any(|tag| lower.starts_with(tag)) {
        Kind::Html
    } else if trimmed.starts_with(['{', '[']) {
        Kind::Json
    } else if text.chars().all(|c| !c.is_control() || c.is_whitespace()) {
        Kind::Text
    } else {
        Kind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(content: &[u8]) -> Kind {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        Kind::of(file.path()).unwrap()
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
            let kind = of(&[starts[start], &rest].concat());
            prop_assert!(!kind.to_string().is_empty());
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        assert_eq!(Kind::of(Path::new("/dev/null")).unwrap(), Kind::Other("a pipe or a device"));
    }

    #[test]
    fn what_people_have_instead_of_a_model() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 605157884\n";
        assert_eq!(of(pointer), Kind::LfsPointer { bytes: Some(605_157_884) });
        assert_eq!(of(b""), Kind::Empty);
        assert_eq!(of(b"\n<!DOCTYPE html><html>"), Kind::Html);
        assert_eq!(of(b"{\"error\": \"Repository not found\"}"), Kind::Json);
        assert_eq!(of(b"Entry not found"), Kind::Text);
        assert_eq!(of(b"\x89HDF\r\n\x1a\n"), Kind::Other("an HDF5 file (Keras and TensorFlow write `tf_model.h5`)"));
        assert_eq!(of(&[0x80, 2, 0x8a]), Kind::Pickle);
        assert_eq!(of(b"PK\x03\x04 and no end"), Kind::CutTorch);
        assert_eq!(of(&[0, 1, 2, 0xff, 0xfe]), Kind::Unknown);
    }

    #[test]
    fn safetensors_are_told_by_their_names_and_their_length() {
        let tensor = |name: &str| format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        let prompts = tensor("prompts_text.0");
        assert_eq!(of(&header(&prompts, 4)), Kind::Safetensors(Tensors::Prompts));
        assert_eq!(of(&header(&tensor("vision_model.x"), 4)), Kind::Safetensors(Tensors::Tower));
        assert_eq!(of(&header(&tensor("unet.down_blocks"), 4)), Kind::Safetensors(Tensors::Other));
        let whole = header(&prompts, 4);
        let needed = whole.len() as u64;
        assert_eq!(of(&whole[..whole.len() - 1]), Kind::CutSafetensors { bytes: needed - 1, needed });
        assert_eq!(of(&whole[..20]), Kind::CutSafetensors { bytes: 20, needed: needed - 4 });
        assert!(!Kind::Safetensors(Tensors::Prompts).may_be(Role::Weights));
        assert!(Kind::Safetensors(Tensors::Other).may_be(Role::Weights), "opening it says what is missing");
    }
}
