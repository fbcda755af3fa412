//! The names of the prompts' tensors in the authors' code: made for a tower, and taken apart.

/// The tower that prompts belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromptTower {
    Text,
    Visual,
}

impl PromptTower {
    /// Returns the authors' names of a layer's prompts and of their linear layer, without the layer's number.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            PromptTower::Text => ("prompts_text", "prompt_txt_projections"),
            PromptTower::Visual => ("prompts_vis", "prompt_vis_projections"),
        }
    }
}

/// One of the authors' names taken apart: the tower and the layer that it belongs to.
pub(crate) struct PromptTensorName {
    pub(super) tower: PromptTower,
    pub(super) layer: usize,
}

impl PromptTensorName {
    /// Parses a name; `None` if it is not one of the authors' learnable tensors.
    pub(crate) fn parse(name: &str) -> Option<PromptTensorName> {
        let parts: Vec<&str> = name.split('.').collect();
        let (kind, layer) = match parts[..] {
            [kind @ ("prompts_text" | "prompts_vis"), layer] => (kind, layer),
            [kind @ ("prompt_txt_projections" | "prompt_vis_projections"), layer, "weight" | "bias"] => (kind, layer),
            _ => return None,
        };
        let tower = if kind.contains("vis") { PromptTower::Visual } else { PromptTower::Text };
        // Layers are below 1000; a larger number makes another name, so that sums with it cannot overflow.
        let number: u16 = layer.parse().ok()?;
        let plain = number < 1000 && number.to_string() == layer;
        plain.then(|| PromptTensorName { tower, layer: usize::from(number) })
    }
}
