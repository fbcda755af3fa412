//! The drawings of one picture: its maps, and all of them on a sheet.

use dqa_model::{Attention, Explained, Rgb8};
use image::RgbImage;

use super::draw::{self, Panel};
use super::{Look, Map, Maps, Shown};

/// A picture of where the model looks.
pub struct Drawing {
    /// `sheet`, `whole`, `windows`, `scores`: what it shows.
    pub name: &'static str,
    picture: RgbImage,
}

impl Drawing {
    /// As a PNG file.
    pub fn png(&self) -> Vec<u8> {
        draw::png(&self.picture)
    }
}

/// The sheet, under this title, and then each map over the picture in the picture's size.
pub fn drawings(title: &str, picture: &Rgb8, explained: &Explained, shown: &Shown) -> Vec<Drawing> {
    let maps = Maps::new(explained, shown, (picture.width(), picture.height()));
    let score = explained.score.score;
    let windows = explained.windows.len();
    let caption = format!("score {score:.4} over {windows} windows");
    let mut panels = vec![Panel { caption, picture: draw::plain(picture), scale: None }];
    let mut drawings = Vec::new();
    let share = |part: fn(&Attention) -> &Vec<f32>| {
        let of = |window| part(shown.look.of(window)).iter().sum::<f32>();
        let shown = &explained.windows[shown.windows(windows)];
        100.0 * shown.iter().map(of).sum::<f32>() / shown.len() as f32
    };
    let mut add = |name, map: Option<Map>, caption: String, label: fn(f32) -> String| {
        let Some(map) = map else { return };
        let range = map.range();
        let drawn = draw::over(picture, &map, range);
        panels.push(Panel { caption, picture: drawn.clone(), scale: Some((label(range.0), label(range.1))) });
        drawings.push(Drawing { name, picture: drawn });
    };
    let attention = |value: f32| format!("{value:.2} x even");
    let of_whole = format!("whole view: {:.0}% of attention", share(|attention| &attention.whole));
    add("whole", maps.whole, of_whole, attention);
    let which = shown.window.map_or("windows".to_owned(), |window| format!("window {window}"));
    let of_windows = format!("{which}: {:.0}% of attention", share(|attention| &attention.window));
    add("windows", maps.windows, of_windows, attention);
    add("scores", maps.scores, format!("scores of the {which}"), |value| format!("{value:.4}"));
    let how = match shown.look {
        Look::Rollout => "attention through all layers (rollout)".to_owned(),
        Look::Layer(layer) => format!("attention in layer {} of {}", layer + 1, explained.windows[0].layers.len()),
    };
    let sheet = draw::sheet(&format!("{title}: {how}"), &panels, 2);
    drawings.insert(0, Drawing { name: "sheet", picture: sheet });
    drawings
}
