//! What to do about pictures that could not be scored, by the code of the error.

/// Returns what a code means and what to do, as sentences.
pub(crate) fn advice(code: &str) -> &'static str {
    match code {
        "not_an_image" => "The file is not a picture. Download it again, or fetch it with Git LFS; then submit again.",
        "unsupported_format" => "Convert the picture to PNG or JPEG, or export it again.",
        "truncated" => "The file ends before the picture does. Copy or download it again.",
        "corrupt" => "The file contradicts itself. Copy or export it again.",
        "too_large" => {
            "The picture is over a limit. Raise --pixels-max, --side-max or --bytes-max if the memory allows it."
        }
        "too_small" => {
            "A side is below what the metric needs. Use other --views, leave the picture out, or take another metric."
        }
        "io" => {
            "The file could not be read. Check the address and the permissions; then submit again with --retry-failed."
        }
        "not_finite" => "The score is not a finite number. Look at the picture: it may be of one colour.",
        "reference_missing" => "The metric needs a picture to compare with. Check the data set's layout of it.",
        "reference_size" => {
            "The picture to compare with has another size. Crop or resize the output as its algorithm says."
        }
        "reference_unreadable" => "The picture to compare with could not be read. Copy or download it again.",
        "infinite" => {
            "The output equals its reference, so the metric has no finite value. Check that it is an output at all."
        }
        "undefined" => "The metric is not defined for this picture: the message says why.",
        "internal" => "This is a bug in dqa: please report it with the message.",
        "worker_died" => "Workers died while they had these pictures. Look at their logs and memory, then retry.",
        "device" => "The device reported an error. Look at the workers' logs, then retry.",
        "deadline" => "The shard took too long. Look at the workers' load, then retry.",
        _ => "The message says what was found.",
    }
}
