//! A route's conditions in words.

use super::types::When;
use crate::event::Field;

impl When {
    /// The conditions in words; empty: everything is taken.
    #[must_use]
    pub fn words(&self) -> String {
        let mut conditions: Vec<String> = Field::in_order()
            .filter_map(|field| Some(format!("{field} is {}", self.fields.get(&field)?.join(" or "))))
            .collect();
        let attributes = self.attributes.iter();
        conditions
            .extend(attributes.map(|(name, values)| format!("attribute {name} is {}", values.join(" or "))));
        conditions
            .extend(self.labels.iter().map(|(label, values)| format!("{label} is {}", values.join(" or "))));
        conditions.extend(self.message.as_ref().map(|pattern| format!("message matches `{pattern}`")));
        conditions.join(" and ")
    }
}
