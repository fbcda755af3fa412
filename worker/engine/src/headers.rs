//! Reads pictures' headers for planning: the first bytes of many pictures at once, and the rest only if a header needs
//! it.
//!
//! Headers are read and kept without a run's limits; [`check`] applies a run's limits and views to one.

use std::sync::Arc;

use dqa_pipelines::dataset::{DataSet, Picture, PictureHeader};
use dqa_pipelines::store::{StoreError, StoreResolver};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::decode::{self, Limits, PictureError};

/// Concurrent requests: a store answers each in tens of milliseconds, independently of the others.
const REQUESTS_MAX: usize = 64;

/// Length of the first read. Most headers end within a few hundred bytes; a camera's JPEG has a preview before its
/// header.
const FIRST_BYTES: u64 = 64 << 10;

/// Reads the header of each of `pictures` (indices in `dataset.pictures`), in their order. A file of more than
/// `bytes_max` is unreadable: too large. An error is the store's, and another attempt may succeed.
pub fn read(
    dataset: &DataSet,
    pictures: Vec<usize>,
    bytes_max: u64,
) -> BoxStream<'_, (usize, Result<PictureHeader, StoreError>)> {
    let resolver = Arc::new(StoreResolver::default());
    let limits = Arc::new(Limits { bytes_max, ..Limits::none() });
    let one = move |index: usize| {
        let (resolver, limits) = (resolver.clone(), limits.clone());
        let picture = &dataset.pictures[index];
        let uri = dataset.uri(picture);
        async move { (index, read_one(&resolver, &uri, picture, &limits).await) }
    };
    futures::stream::iter(pictures).map(one).buffered(REQUESTS_MAX).boxed()
}

/// Returns a picture's header as a run with these limits sees it: unreadable if the picture is too large or too small.
/// None if the header is not known.
pub fn check(header: Option<&PictureHeader>, picture: &Picture, limits: &Limits) -> Option<PictureHeader> {
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
    resolver: &StoreResolver,
    uri: &str,
    picture: &Picture,
    limits: &Limits,
) -> Result<PictureHeader, StoreError> {
    if let Err(error) = limits.check_bytes(picture.bytes) {
        return Ok(unreadable(&error));
    }
    let first = resolver.read_first(uri, FIRST_BYTES.min(picture.bytes)).await?;
    let probed = match decode::probe(&first, limits) {
        Ok(header) => Ok(header),
        // The header continues behind the first bytes (a TIFF's may be at the file's end), so only the whole file
        // decides.
        Err(_) if picture.bytes > FIRST_BYTES => decode::probe(&resolver.read(uri).await?, limits),
        Err(error) => Err(error),
    };
    Ok(match probed {
        Ok(header) => PictureHeader::Size { width: header.width, height: header.height },
        Err(error) => unreadable(&error),
    })
}

fn unreadable(error: &PictureError) -> PictureHeader {
    PictureHeader::Unreadable { code: error.code().to_string(), message: error.line() }
}

#[cfg(test)]
mod tests {
    use dqa_pipelines::picture_limits::PictureLimits;

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
            clear: None,
        };
        let code = |header: Option<&PictureHeader>, limits: PictureLimits, side_min| {
            let checked = check(header, &picture, &Limits::new(limits, side_min));
            checked.map(|header| header.error().map_or("size".to_owned(), |(code, _)| code.to_owned()))
        };
        let (usual, header) = (PictureLimits::default(), PictureHeader::Size { width: 300, height: 200 });
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
        let damaged = PictureHeader::Unreadable { code: "corrupt".into(), message: "it is".into() };
        assert_eq!(code(Some(&damaged), usual, 224).unwrap(), "corrupt");
    }
}
