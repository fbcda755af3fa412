//! Pictures' headers, for planning: the first bytes of each, many at once, and the rest only where a header needs it.
//!
//! What a header says is read without limits and kept; whether a run's limits and views take it is said by [`judged`].

use std::sync::Arc;

use dqa_pipelines::dataset::{DataSet, Picture};
use dqa_pipelines::index::Header;
use dqa_pipelines::store::{StoreError, StoreResolver};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::decode::{self, Limits, PictureError};

/// Requests under way at once: a store answers each in tens of milliseconds, whatever the others do.
const REQUESTS_MAX: usize = 64;

/// What is read first. Most headers end within the first few hundred bytes; a camera's JPEG has a preview before its.
const FIRST_BYTES: u64 = 64 << 10;

/// The header of each of `pictures` (places in `dataset.pictures`), in their order; of a file of more than `bytes_max` that it
/// is too large. An error is the store's, and may pass.
pub fn read(
    dataset: &DataSet,
    pictures: Vec<usize>,
    bytes_max: u64,
) -> BoxStream<'_, (usize, Result<Header, StoreError>)> {
    let addresses = Arc::new(StoreResolver::default());
    let limits = Arc::new(Limits { bytes_max, ..Limits::none() });
    let one = move |index: usize| {
        let (addresses, limits) = (addresses.clone(), limits.clone());
        let picture = &dataset.pictures[index];
        let uri = dataset.uri(picture);
        async move { (index, read_one(&addresses, &uri, picture, &limits).await) }
    };
    futures::stream::iter(pictures).map(one).buffered(REQUESTS_MAX).boxed()
}

/// What a run with these limits finds of a picture with this header: the header, or that it is too large or too small. None
/// where nothing is known.
pub fn judged(header: Option<&Header>, picture: &Picture, limits: &Limits) -> Option<Header> {
    if let Err(error) = limits.check_bytes(picture.bytes) {
        return Some(unreadable(&error));
    }
    let header = header?;
    let Some((width, height)) = header.size() else {
        return Some(header.clone());
    };
    let checked = limits.check_size(width.into(), height.into());
    Some(checked.map_or_else(|error| unreadable(&error), |_| header.clone()))
}

async fn read_one(
    addresses: &StoreResolver,
    uri: &str,
    picture: &Picture,
    limits: &Limits,
) -> Result<Header, StoreError> {
    if let Err(error) = limits.check_bytes(picture.bytes) {
        return Ok(unreadable(&error));
    }
    let first = addresses.read_first(uri, FIRST_BYTES.min(picture.bytes)).await?;
    let probed = match decode::probe(&first, limits) {
        Ok(header) => Ok(header),
        // The header goes on behind what was read (a TIFF's may be at its end): the file's own fault only in full.
        Err(_) if picture.bytes > FIRST_BYTES => decode::probe(&addresses.read(uri).await?, limits),
        Err(error) => Err(error),
    };
    Ok(match probed {
        Ok(header) => Header::Size { width: header.width, height: header.height },
        Err(error) => unreadable(&error),
    })
}

fn unreadable(error: &PictureError) -> Header {
    Header::Unreadable { code: error.code().to_string(), message: error.line() }
}

#[cfg(test)]
mod tests {
    use dqa_pipelines::limits::PictureLimits;

    use super::*;

    #[test]
    fn a_picture_is_too_large_or_too_small_for_a_run() {
        let picture = Picture {
            algorithm: "a".parse().unwrap(),
            scene: "s".into(),
            scene_group: None,
            image: "a/s.png".into(),
            uri: None,
            bytes: 1000,
            version: "v".into(),
            mos: None,
            raters: None,
            hazy: None,
        };
        let code = |header: Option<&Header>, limits: PictureLimits, side_min| {
            let judged = judged(header, &picture, &Limits::of(limits, side_min));
            judged.map(|header| header.error().map_or("size".to_owned(), |(code, _)| code.to_owned()))
        };
        let (usual, header) = (PictureLimits::default(), Header::Size { width: 300, height: 200 });
        let known = |limits, side_min| code(Some(&header), limits, side_min).unwrap();
        assert_eq!(known(usual, 224), "too_small");
        assert_eq!(known(usual, 112), "size");
        assert_eq!(known(PictureLimits { side_max: 299, ..usual }, 112), "too_large");
        assert_eq!(known(PictureLimits { pixels_max: 59_999, ..usual }, 112), "too_large");
        assert_eq!(known(PictureLimits { bytes_max: 999, ..usual }, 112), "too_large");
        assert_eq!(code(None, usual, 224), None);
        assert_eq!(
            code(None, PictureLimits { bytes_max: 999, ..usual }, 224).unwrap(),
            "too_large",
            "by the listing alone"
        );
        let damaged = Header::Unreadable { code: "corrupt".into(), message: "it is".into() };
        assert_eq!(code(Some(&damaged), usual, 224).unwrap(), "corrupt");
    }
}
