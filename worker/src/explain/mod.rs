//! Where a model looks, over the picture: [`Maps`] lays what windows say of their patches back where the windows are, and
//! [`drawings`] makes pictures of it. What attention is, the model knows.

mod draw;
mod sheet;

pub use sheet::{Drawing, drawings};

use dqa_model::{Attention, Explained, Origin, Sees, Views, WindowLook};

/// Which attention of the class token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Through all layers.
    Rollout,
    /// Of one layer; 0 is the first.
    Layer(usize),
}

impl Look {
    /// Of a window.
    ///
    /// # Panics
    /// On a layer that the model has not.
    pub fn of(self, window: &WindowLook) -> &Attention {
        match self {
            Look::Rollout => &window.rollout,
            Look::Layer(layer) => &window.layers[layer],
        }
    }
}

/// A number for each pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// `height * width`, row-major; NaN where nothing looks.
    pub values: Vec<f32>,
}

/// What can be drawn over a picture. Attention on a patch is in units of an even share of its view: 1 is what each patch
/// of a view would get if all got the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Maps {
    /// On the whole picture, the mean over windows; none where it is not seen.
    pub whole: Option<Map>,
    /// On windows, each laid back at its place, the mean where they overlap; none where only the whole picture is seen.
    pub windows: Option<Map>,
    /// The mean score of the windows that cover a pixel; none where only the whole picture is seen.
    pub scores: Option<Map>,
}

impl Maps {
    /// Of a picture of `size` (width, height), seen by `views`.
    pub fn new(explained: &Explained, views: &Views, size: (u32, u32), look: Look) -> Maps {
        let size = (size.0 as usize, size.1 as usize);
        let looks: Vec<&Attention> = explained.windows.iter().map(|window| look.of(window)).collect();
        let whole = (views.sees != Sees::Local).then(|| {
            let mut mean = vec![0.0; explained.grid * explained.grid];
            for attention in &looks {
                let even = in_even_shares(&attention.whole);
                mean.iter_mut().zip(even).for_each(|(mean, on)| *mean += on / looks.len() as f32);
            }
            let mut laid = Laid::new(size);
            laid.add((0, 0), size, &mean, explained.grid);
            laid.mean()
        });
        if views.sees == Sees::Global {
            return Maps { whole, windows: None, scores: None };
        }
        let side = views.window as usize;
        let (mut windows, mut scores) = (Laid::new(size), Laid::new(size));
        let origins = views.origins(size.0 as u32, size.1 as u32);
        for ((Origin { x, y }, attention), score) in origins.into_iter().zip(looks).zip(&explained.score.windows) {
            let at = (x as usize, y as usize);
            windows.add(at, (side, side), &in_even_shares(&attention.window), explained.grid);
            scores.add(at, (side, side), &[*score], 1);
        }
        Maps { whole, windows: Some(windows.mean()), scores: Some(scores.mean()) }
    }
}

fn in_even_shares(view: &[f32]) -> Vec<f32> {
    let sum: f32 = view.iter().sum();
    // A view that gets nothing at all is looked at evenly.
    view.iter().map(|on| if sum > 0.0 { on * view.len() as f32 / sum } else { 1.0 }).collect()
}

impl Map {
    /// The values that two in a hundred are below, and above: one odd patch does not take the whole scale.
    pub fn range(&self) -> (f32, f32) {
        let mut there: Vec<f32> = self.values.iter().copied().filter(|value| value.is_finite()).collect();
        if there.is_empty() {
            return (0.0, 0.0);
        }
        let last = there.len() - 1;
        let mut at = |place: usize| *there.select_nth_unstable_by(place, f32::total_cmp).1;
        (at(last / 50), at(last - last / 50))
    }
}

/// Maps of parts of a picture, laid over one another.
struct Laid {
    width: usize,
    height: usize,
    sums: Vec<f32>,
    counts: Vec<u32>,
}

impl Laid {
    fn new((width, height): (usize, usize)) -> Laid {
        Laid { width, height, sums: vec![0.0; width * height], counts: vec![0; width * height] }
    }

    /// `values` (grid, grid) over a part that begins at `at`; between the patches' middles they go over smoothly.
    fn add(&mut self, at: (usize, usize), size: (usize, usize), values: &[f32], grid: usize) {
        let places = |length: usize| -> Vec<(usize, usize, f32)> {
            let place = |pixel: usize| {
                let at = ((pixel as f32 + 0.5) * grid as f32 / length as f32 - 0.5).clamp(0.0, (grid - 1) as f32);
                let first = at as usize;
                (first, (first + 1).min(grid - 1), at - first as f32)
            };
            (0..length).map(place).collect()
        };
        let columns = places(size.0);
        for (dy, (above, below, down)) in places(size.1).into_iter().enumerate() {
            let (above, below) = (&values[above * grid..][..grid], &values[below * grid..][..grid]);
            let row: Vec<f32> = above.iter().zip(below).map(|(a, b)| a + (b - a) * down).collect();
            let start = (at.1 + dy) * self.width + at.0;
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
