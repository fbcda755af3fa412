//! Attention maps over a picture: [`Maps`] puts the attention on windows' patches back at the windows' places, and
//! [`DrawnPicture`] and [`sheet()`] render them. The model defines attention.

mod draw;
mod sheet;

pub use sheet::{Drawing, DrawnPicture, sheet};

use dqa_model::{AttentionMap, Explanation, INPUT_SIDE, Origin, ViewMode, Views, WindowAttention};

/// The layer of the class token's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionLayer {
    /// Attention through all layers (rollout).
    Rollout,
    /// Attention in one layer; 0 is the first.
    Layer(usize),
}

impl AttentionLayer {
    /// Returns a window's attention.
    ///
    /// # Panics
    /// Panics if the model does not have the layer.
    pub fn select(self, window: &WindowAttention) -> &AttentionMap {
        match self {
            AttentionLayer::Rollout => &window.rollout,
            AttentionLayer::Layer(layer) => &window.layers[layer],
        }
    }
}

/// What to draw of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapOptions {
    /// The views that the picture was scored with.
    pub views: Views,
    /// The layer of the attention.
    pub layer: AttentionLayer,
    /// The window to draw, from 0. None draws the mean of all.
    pub window: Option<usize>,
    /// The values that the colours stand for.
    pub scale: Scale,
}

/// The values at the ends of a map's colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// The same for all maps of a kind, so that pictures can be compared: scores from 0 to 1, and attention from none to
    /// twice an even share.
    #[default]
    Fixed,
    /// Each map's own, so that small differences within it are visible.
    Auto,
}

impl MapOptions {
    /// Returns the range of drawn windows among `count`.
    fn windows(&self, count: usize) -> std::ops::Range<usize> {
        self.window.map_or(0..count, |window| window..window + 1)
    }
}

/// A value for each pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// (height, width), row-major; NaN where no window covers the pixel.
    pub values: Vec<f32>,
}

/// The maps of a picture. Attention on a patch is in units of an even share of its view: 1 is what each patch of a view
/// would get if all patches got the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Maps {
    /// Attention on the whole view, the mean over the drawn windows. None if views are local.
    pub whole: Option<Map>,
    /// Attention on the windows at their places, the mean where they overlap. None if views are global.
    pub windows: Option<Map>,
    /// The mean score of the windows that cover a pixel. None if views are global.
    pub scores: Option<Map>,
}

impl Maps {
    /// Computes the maps of a picture of `size` (width, height).
    ///
    /// # Panics
    /// Panics if the window or the layer does not exist.
    pub fn new(explained: &Explanation, options: &MapOptions, size: (u32, u32)) -> Maps {
        let size = (size.0 as usize, size.1 as usize);
        let views = &options.views;
        let drawn = options.windows(explained.windows.len());
        let attentions: Vec<&AttentionMap> =
            explained.windows[drawn.clone()].iter().map(|window| options.layer.select(window)).collect();
        let whole = (views.sees != ViewMode::Local).then(|| {
            let mut mean = vec![0.0; explained.grid * explained.grid];
            for attention in &attentions {
                let shares = in_even_shares(&attention.whole);
                mean.iter_mut().zip(shares).for_each(|(mean, share)| *mean += share / attentions.len() as f32);
            }
            let mut map = MapAccumulator::new(size);
            map.add((0, 0), size, &mean, explained.grid);
            map.mean()
        });
        if views.sees == ViewMode::Global {
            return Maps { whole, windows: None, scores: None };
        }
        let side = views.window as usize;
        let (mut windows, mut scores) = (MapAccumulator::new(size), MapAccumulator::new(size));
        if let Some(fragments) = views.fragments() {
            let (piece, attention) = (fragments.piece_side() as usize, in_even_shares(&attentions[0].window));
            let corners = fragments.middle_corners(size.0 as u32, size.1 as u32);
            for (cell, Origin { x, y }) in corners.into_iter().enumerate() {
                let origin = (x as usize, y as usize);
                let values = attention_of_piece(&attention, explained.grid, (cell, piece));
                windows.add(origin, (piece, piece), &values, piece);
                scores.add(origin, (piece, piece), &explained.score.windows[..1], 1);
            }
            return Maps { whole, windows: Some(windows.mean()), scores: Some(scores.mean()) };
        }
        let origins = &views.origins(size.0 as u32, size.1 as u32)[drawn.clone()];
        let drawn_windows = origins.iter().zip(attentions).zip(&explained.score.windows[drawn]);
        for ((Origin { x, y }, attention), score) in drawn_windows {
            let origin = (*x as usize, *y as usize);
            windows.add(origin, (side, side), &in_even_shares(&attention.window), explained.grid);
            scores.add(origin, (side, side), &[*score], 1);
        }
        Maps { whole, windows: Some(windows.mean()), scores: Some(scores.mean()) }
    }
}

/// Returns the attention on each pixel of a fragment, the `cell`th of a window, by the patch that it lies in: (piece, piece).
fn attention_of_piece(patches: &[f32], grid: usize, (cell, piece): (usize, usize)) -> Vec<f32> {
    let side = INPUT_SIDE as usize;
    let (cell_y, cell_x) = (cell / (side / piece), cell % (side / piece));
    let patch = |at: usize| at * grid / side;
    let value = |i: usize| patches[patch(cell_y * piece + i / piece) * grid + patch(cell_x * piece + i % piece)];
    (0..piece * piece).map(value).collect()
}

/// Returns the attention on a view's patches in units of an even share.
fn in_even_shares(view: &[f32]) -> Vec<f32> {
    let sum: f32 = view.iter().sum();
    // A view without any attention counts as evenly attended.
    view.iter().map(|share| if sum > 0.0 { share * view.len() as f32 / sum } else { 1.0 }).collect()
}

impl Map {
    /// Returns the 2nd and the 98th percentile, so that one extreme patch does not take the whole scale.
    pub fn range(&self) -> (f32, f32) {
        let mut values: Vec<f32> = self.values.iter().copied().filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return (0.0, 0.0);
        }
        let last = values.len() - 1;
        let mut nth = |index: usize| *values.select_nth_unstable_by(index, f32::total_cmp).1;
        (nth(last / 50), nth(last - last / 50))
    }
}

/// The mean of overlapping maps of parts of a picture.
struct MapAccumulator {
    width: usize,
    height: usize,
    sums: Vec<f32>,
    counts: Vec<u32>,
}

impl MapAccumulator {
    fn new((width, height): (usize, usize)) -> MapAccumulator {
        MapAccumulator { width, height, sums: vec![0.0; width * height], counts: vec![0; width * height] }
    }

    /// Adds `values` (grid, grid) over a part of the picture, interpolated linearly between the patches' centres.
    fn add(&mut self, origin: (usize, usize), size: (usize, usize), values: &[f32], grid: usize) {
        let weights = |length: usize| -> Vec<(usize, usize, f32)> {
            let weight = |pixel: usize| {
                let position = ((pixel as f32 + 0.5) * grid as f32 / length as f32 - 0.5).clamp(0.0, (grid - 1) as f32);
                let first = position as usize;
                (first, (first + 1).min(grid - 1), position - first as f32)
            };
            (0..length).map(weight).collect()
        };
        let columns = weights(size.0);
        for (dy, (above, below, down)) in weights(size.1).into_iter().enumerate() {
            let (above, below) = (&values[above * grid..][..grid], &values[below * grid..][..grid]);
            let row: Vec<f32> = above.iter().zip(below).map(|(a, b)| a + (b - a) * down).collect();
            let start = (origin.1 + dy) * self.width + origin.0;
            let sums = self.sums[start..].iter_mut().zip(&mut self.counts[start..]);
            for ((sum, count), (left, right, across)) in sums.zip(&columns) {
                *sum += row[*left] + (row[*right] - row[*left]) * across;
                *count += 1;
            }
        }
    }

    fn mean(self) -> Map {
        let mean = |(sum, count): (f32, u32)| if count == 0 { f32::NAN } else { sum / count as f32 };
        let values = self.sums.into_iter().zip(self.counts).map(mean).collect();
        Map { width: self.width, height: self.height, values }
    }
}

#[cfg(test)]
mod tests {
    use dqa_model::PictureScore;
    use proptest::prelude::*;

    use super::*;

    const GRID: usize = 4;

    fn attention(whole: Vec<f32>, window: Vec<f32>) -> AttentionMap {
        AttentionMap { class: 0.0, whole, window, prompts: 0.0 }
    }

    /// Returns windows with one layer, which differs from the rollout.
    fn explained(windows: Vec<AttentionMap>, scores: Vec<f32>) -> Explanation {
        let nothing = || attention(vec![0.0; GRID * GRID], vec![0.0; GRID * GRID]);
        let windows = windows.into_iter().map(|rollout| WindowAttention { layers: vec![nothing()], rollout }).collect();
        let score = scores.iter().map(|score| f64::from(*score)).sum::<f64>() / scores.len() as f64;
        Explanation { score: PictureScore { score, windows: scores }, windows, grid: GRID }
    }

    fn hot(patch: usize) -> Vec<f32> {
        (0..GRID * GRID).map(|at| if at == patch { 0.5 } else { 0.02 }).collect()
    }

    fn hottest(map: &Map) -> (usize, usize) {
        let value = |at: &usize| if map.values[*at].is_nan() { f32::MIN } else { map.values[*at] };
        let peak = (0..map.values.len()).max_by(|a, b| value(a).total_cmp(&value(b))).unwrap();
        (peak % map.width, peak / map.width)
    }

    #[test]
    fn a_window_is_laid_where_it_was_and_the_rest_stays_empty() {
        // Windows of 64 at (0, 0) and (40, 0) of 120 x 70: 16 columns and 6 rows are in none.
        let views: Views = "window=64,stride=40".parse().unwrap();
        let explained = explained(vec![attention(hot(0), hot(5)), attention(hot(0), hot(14))], vec![0.25, 0.75]);
        let all = MapOptions { views, layer: AttentionLayer::Rollout, window: None, scale: Scale::Fixed };
        let maps = Maps::new(&explained, &all, (120, 70));
        let [whole, windows, scores] = [maps.whole, maps.windows, maps.scores].map(Option::unwrap);
        assert!(whole.values.iter().all(|value| value.is_finite()));
        let (x, y) = hottest(&whole);
        assert!(x < 30 && y < 18, "in the first patch of the picture: {x}, {y}");
        let empty = |map: &Map| map.values.iter().filter(|value| value.is_nan()).count();
        assert_eq!([empty(&windows), empty(&scores)], [120 * 70 - 104 * 64; 2]);
        let (x, y) = hottest(&windows);
        assert!(
            (40 + 32..40 + 48).contains(&x) && y >= 48,
            "in patch 14 of the second window, which none covers: {x}, {y}"
        );
        assert_eq!([scores.values[0], scores.values[50], scores.values[100]], [0.25, 0.5, 0.75]);
        let layer =
            Maps::new(&explained, &MapOptions { layer: AttentionLayer::Layer(0), ..all }, (120, 70)).whole.unwrap();
        assert_eq!(layer.range(), (1.0, 1.0), "nothing at all is even");
        let one = Maps::new(&explained, &MapOptions { window: Some(1), ..all }, (120, 70));
        let [windows, scores] = [one.windows, one.scores].map(Option::unwrap);
        assert_eq!([empty(&windows), empty(&scores)], [120 * 70 - 64 * 64; 2]);
        assert_eq!([scores.values[50], scores.values[100]], [0.75, 0.75]);
    }

    #[test]
    fn the_attention_on_fragments_is_at_the_places_of_their_pieces() {
        // The first patch of the window is a quarter of the first of 8 x 8 pieces, or holds 4 x 4 of them.
        let attention_on_first = attention(Vec::new(), hot(0));
        let shown = |views: &str| {
            let options = MapOptions {
                views: views.parse().unwrap(),
                layer: AttentionLayer::Rollout,
                window: None,
                scale: Scale::Fixed,
            };
            Maps::new(&explained(vec![attention_on_first.clone()], vec![0.5]), &options, (448, 448))
        };
        let maps = shown("sees=local,fragments=2");
        let windows = maps.windows.unwrap();
        // Pieces of 112 pixels in the middle of cells of 224.
        let at = |x: usize, y: usize| windows.values[y * 448 + x];
        let patch = 224 / GRID;
        assert!(at(55, 56).is_nan() && at(56, 56) > 1.0 && at(56 + patch - 1, 56) > 1.0);
        assert!(at(56 + patch, 56) < 1.0 && at(280, 280) < 1.0 && at(168, 168).is_nan());
        let scores = maps.scores.unwrap();
        assert_eq!(scores.values.iter().filter(|score| **score == 0.5).count(), 224 * 224);
    }

    #[test]
    fn what_is_not_seen_is_not_drawn() {
        let seen = |sees: &str, whole: Vec<f32>, window: Vec<f32>| {
            let explained = explained(vec![attention(whole, window)], vec![0.5]);
            let shown = MapOptions {
                views: sees.parse().unwrap(),
                layer: AttentionLayer::Rollout,
                window: None,
                scale: Scale::Fixed,
            };
            let maps = Maps::new(&explained, &shown, (224, 224));
            [maps.whole.is_some(), maps.windows.is_some(), maps.scores.is_some()]
        };
        assert_eq!(seen("sees=local", Vec::new(), hot(1)), [false, true, true]);
        assert_eq!(seen("sees=global", hot(1), Vec::new()), [true, false, false]);
    }

    proptest! {
        #[test]
        fn an_even_share_is_one_and_maps_stay_within_their_patches(
            weights in prop::collection::vec(0.01_f32..1.0, GRID * GRID),
            (width, height) in (64_u32..150, 64_u32..150),
        ) {
            let views: Views = "window=64,stride=24".parse().unwrap();
            let windows = views.windows(width, height);
            let looks = vec![attention(weights.clone(), weights.clone()); windows];
            let shown = MapOptions { views, layer: AttentionLayer::Rollout, window: None, scale: Scale::Fixed };
            let maps = Maps::new(&explained(looks, vec![0.5; windows]), &shown, (width, height));
            let shares = in_even_shares(&weights);
            prop_assert!((shares.iter().sum::<f32>() / shares.len() as f32 - 1.0).abs() < 1e-5);
            let (least, most) = shares.iter().fold((f32::MAX, f32::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
            for map in [maps.whole.unwrap(), maps.windows.unwrap()] {
                prop_assert_eq!(map.values.len(), (width * height) as usize);
                let there = map.values.iter().filter(|value| value.is_finite());
                prop_assert!(there.clone().count() > 0);
                prop_assert!(there.clone().all(|value| (least - 1e-4..=most + 1e-4).contains(value)));
            }
        }
    }
}
