//! All definitions that processing applies.

use crate::cohorts::Cohort;
use crate::features::Feature;
use crate::intents::Intent;
use crate::tags::Tag;
use crate::{ContractError, Source, read_folder};
use std::collections::BTreeSet;
use std::path::Path;

/// What rules may read besides features: whether the person is a member, the member's status and tier, whole days since joining.
pub const MEMBER_INPUTS: [&str; 4] = ["is_member", "member_status", "member_tier", "member_days"];

/// The definitions of one deployment.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// Features.
    pub features: Vec<Feature>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Cohorts.
    pub cohorts: Vec<Cohort>,
    /// Intents.
    pub intents: Vec<Intent>,
}

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        vec![$(Source::embedded(concat!("contracts/", $path), include_str!(concat!("../../../contracts/", $path)))),*]
    };
}

impl Definitions {
    /// Reads `features`, `tags`, `cohorts` and `intents` below a folder.
    ///
    /// # Errors
    /// Naming the file and the field.
    pub fn load(dir: &Path) -> Result<Self, ContractError> {
        let folder = |name| read_folder(dir, name);
        Self::read(&folder("features")?, &folder("tags")?, &folder("cohorts")?, &folder("intents")?)
    }

    /// The definitions that the program ships with.
    ///
    /// # Panics
    /// Never: a test reads them.
    #[must_use]
    #[expect(clippy::expect_used, reason = "they are part of the program, and a test reads them")]
    pub fn embedded() -> Self {
        let features = files![
            "features/last_order_at.yaml",
            "features/days_since_last_order.yaml",
            "features/net_spend_minor.yaml",
            "features/orders.yaml",
            "features/product_views.yaml",
            "features/recent_events.yaml",
            "features/units.yaml",
        ];
        let tags =
            files!["tags/at_risk.yaml", "tags/browsing_now.yaml", "tags/high_value.yaml", "tags/new_member.yaml"];
        let (cohorts, intents) = (files!["cohorts/active_30d.yaml"], files!["intents/cart_abandoned.yaml"]);
        Self::read(&features, &tags, &cohorts, &intents).expect("the shipped definitions are valid")
    }

    /// Reads definitions from texts.
    ///
    /// # Errors
    /// Naming the file and the field.
    pub fn read(
        features: &[Source],
        tags: &[Source],
        cohorts: &[Source],
        intents: &[Source],
    ) -> Result<Self, ContractError> {
        let mut known: BTreeSet<String> = MEMBER_INPUTS.iter().map(|name| (*name).to_owned()).collect();
        let mut read = Vec::with_capacity(features.len());
        for source in features {
            let feature = Feature::read(source)?;
            for (column, _) in feature.columns() {
                unique(&mut known, source, &column)?;
            }
            read.push(feature);
        }
        let known: Vec<String> = known.into_iter().collect();
        let (mut tag_names, mut cohort_names, mut intent_names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut definitions = Self { features: read, ..Self::default() };
        for source in tags {
            let tag = Tag::read(source, &known)?;
            unique(&mut tag_names, source, &tag.name)?;
            definitions.tags.push(tag);
        }
        for source in cohorts {
            let cohort = Cohort::read(source, &known)?;
            unique(&mut cohort_names, source, &cohort.name)?;
            definitions.cohorts.push(cohort);
        }
        for source in intents {
            let intent = Intent::read(source)?;
            unique(&mut intent_names, source, &intent.name)?;
            definitions.intents.push(intent);
        }
        Ok(definitions)
    }
}

fn unique(taken: &mut BTreeSet<String>, source: &Source, name: &str) -> Result<(), ContractError> {
    if taken.insert(name.to_owned()) {
        return Ok(());
    }
    Err(ContractError::invalid(&source.file, "name", format!("`{name}` is defined twice")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: usize, text: &str) -> String {
        let mut sources = [vec![], vec![], vec![], vec![]];
        sources[kind].push(Source::embedded("x.yaml", text));
        Definitions::read(&sources[0], &sources[1], &sources[2], &sources[3]).unwrap_err().to_string()
    }

    #[test]
    fn shipped_definitions_are_those_of_the_folder() {
        let shipped = Definitions::embedded();
        let folder = Definitions::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts")).unwrap();
        let names = |d: &Definitions| {
            let mut names: Vec<String> = d.features.iter().map(|f| f.name.clone()).collect();
            names.extend(d.tags.iter().map(|t| t.name.clone()));
            names.extend(d.cohorts.iter().map(|c| c.name.clone()));
            names.extend(d.intents.iter().map(|i| i.name.clone()));
            names.sort();
            names
        };
        assert_eq!(names(&shipped), names(&folder));
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        let head = "name: a\nversion: 1\ndescription: d\n";
        let cases = [
            (0, format!("{head}signal: order\nmeasure: count\nwindows: [5x]\n"), "x.yaml: windows: `5x`"),
            (0, format!("{head}signal: orders\nmeasure: count\nwindows: [5m]\n"), "x.yaml: signal: "),
            (0, format!("{head}signal: order\nmeasure: mean\nwindows: [5m]\n"), "x.yaml: measure: "),
            (0, format!("{head}signal: order\nmeasure: count\nwindow: [5m]\n"), "x.yaml: window: "),
            (0, format!("{head}signal: order\nmeasure: net_minor\nwindows: [5m]\n"), "x.yaml: currency: "),
            (0, format!("{head}signal: event:x\nmeasure: units\nwindows: [5m]\n"), "x.yaml: measure: "),
            (0, format!("{head}signal: order\nmeasure: count\n"), "x.yaml: windows: "),
            (
                0,
                format!("{head}signal: order\nmeasure: count\nwindows: [5m, 5m]\n"),
                "x.yaml: name: `a_5m` is defined twice",
            ),
            (1, format!("{head}expression: orders_24h > 1\n"), "x.yaml: expression: `orders_24h` is neither"),
            (1, format!("{head}expression: '1 >'\n"), "x.yaml: expression: "),
            (1, head.replace("name: a", "name: A-b") + "expression: is_member\n", "x.yaml: name: "),
            (3, format!("{head}starts_with: [a]\nundone_by: [a]\nafter: 5m\n"), "x.yaml: starts_with: "),
            (3, format!("{head}starts_with: [a]\nafter: 2d\n"), "x.yaml: after: "),
            (3, "[".to_owned(), "x.yaml: "),
        ];
        for (kind, text, start) in cases {
            let error = error(kind, &text);
            assert!(error.starts_with(start), "{error}");
        }
    }
}
