//! Turns the two sentences into token ids.
//!
//! Each sentence is a row of placeholder words, whose embeddings the first text prompt replaces, followed by the words
//! that differ. The vocabulary is CLIP's and comes with the tokenizer; it is not loaded at run time.

use std::sync::LazyLock;

use instant_clip_tokenizer::{Token, Tokenizer};
use serde::{Deserialize, Serialize};

/// The words of the two sentences that a picture is compared with. The default is the paper's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The sentence that a good picture is far from: row 0 of the text features.
    pub bad: String,
    /// The sentence that a good picture is near to: row 1 of the text features.
    pub good: String,
}

impl Default for Words {
    fn default() -> Words {
        Words { bad: "bad photo.".to_owned(), good: "good photo.".to_owned() }
    }
}

/// The token that starts every sentence.
pub const START: u32 = 49406;
/// The token that ends every sentence; the feature is read at its position. No other token has a greater id.
pub const END: u32 = 49407;
/// The placeholder word "X".
pub const PLACEHOLDER: u32 = 343;

/// The longest sentence that CLIP's text tower takes, start and end included.
pub const CONTEXT: usize = 77;

// Parsing some 50,000 merge rules takes time, so the tokenizer is made once per process.
static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(Tokenizer::new);

/// Why words do not make a sentence. Trying again gives the same error.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokensError {
    /// The words contain no token.
    #[error("the sentence `{words}` has no word in it")]
    Empty {
        /// The words as given.
        words: String,
    },
    /// The sentence is longer than the text tower takes.
    #[error("the sentence of {prompt_len} prompts and `{words}` has {tokens} tokens, but CLIP takes at most {CONTEXT}")]
    TooLong {
        /// The number of placeholders.
        prompt_len: usize,
        /// The words as given.
        words: String,
        /// The sentence's length, start and end included.
        tokens: usize,
    },
}

/// Returns the ids of `"X X ... X {words}"` with `prompt_len` placeholders: start, placeholders, words, end. Not
/// padded.
///
/// # Errors
/// [`TokensError::Empty`] when there are no words, [`TokensError::TooLong`] beyond [`CONTEXT`] tokens.
pub fn sentence(prompt_len: usize, words: &str) -> Result<Vec<u32>, TokensError> {
    let encoded = encode(words)?;
    // CLIP's tokenizer splits at spaces before it merges, so placeholders and words do not affect each other.
    let tokens = prompt_len.saturating_add(encoded.len()).saturating_add(2);
    if tokens > CONTEXT {
        return Err(TokensError::TooLong { prompt_len, words: words.to_owned(), tokens });
    }
    let mut ids = Vec::with_capacity(tokens);
    ids.push(START);
    ids.resize(1 + prompt_len, PLACEHOLDER);
    ids.extend(encoded);
    ids.push(END);
    Ok(ids)
}

/// Returns the ids of `words` alone, at least one.
pub(crate) fn encode(words: &str) -> Result<Vec<u32>, TokensError> {
    let mut encoded = Vec::new();
    TOKENIZER.encode(words, &mut encoded);
    if encoded.is_empty() {
        return Err(TokensError::Empty { words: words.to_owned() });
    }
    Ok(encoded.into_iter().map(|token: Token| u32::from(token.to_u16())).collect())
}

#[cfg(test)]
mod tests {
    use dqa_testkit::Goldens;

    use super::*;

    #[test]
    fn sentences_are_the_references() {
        let goldens = Goldens::load();
        assert_eq!(sentence(8, "bad photo.").unwrap(), goldens.tokens["bad photo"]);
        assert_eq!(sentence(8, "good photo.").unwrap(), goldens.tokens["good photo"]);
    }

    #[test]
    fn placeholders_are_what_the_tokenizer_makes_of_x() {
        let mut whole = Vec::new();
        TOKENIZER.encode("X X X bad photo.", &mut whole);
        let whole: Vec<u32> = whole.into_iter().map(|token| u32::from(token.to_u16())).collect();
        let ids = sentence(3, "bad photo.").unwrap();
        assert_eq!(ids[1..ids.len() - 1], whole);
        assert_eq!(u32::from(TOKENIZER.start_of_text().to_u16()), START);
        assert_eq!(u32::from(TOKENIZER.end_of_text().to_u16()), END);
    }

    #[test]
    fn no_prompts_is_the_plain_sentence() {
        assert_eq!(sentence(0, "bad photo.").unwrap(), [START, 2103, 1125, 269, END]);
    }

    #[test]
    fn a_sentence_fills_the_context_at_most() {
        assert_eq!(sentence(72, "bad photo.").unwrap().len(), CONTEXT);
        let error = sentence(73, "bad photo.").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the sentence of 73 prompts and `bad photo.` has 78 tokens, but CLIP takes at most 77"
        );
        assert_eq!(sentence(8, " ").unwrap_err().to_string(), "the sentence ` ` has no word in it");
    }
}
