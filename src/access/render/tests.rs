//! What is quoted is read back as it was, by the language it is quoted for.

use config::{FileFormat, Format as _};
use proptest::prelude::*;

use super::hcl;
use super::template::TemplateValue;
use super::yaml;

proptest! {
    #[test]
    fn yaml_reads_back_what_was_written(texts in prop::collection::vec("\\PC{0,12}", 1..4), flag: bool) {
        let list = TemplateValue::List(texts.iter().map(TemplateValue::from).collect());
        let inner = TemplateValue::map([("list", list), ("flag", flag.into())]);
        let tree = TemplateValue::map([("Key", TemplateValue::List(vec![inner]))]);
        let text = format!("value:{}", yaml::below(&tree, 0));
        let read = FileFormat::Yaml.parse(None, &text).unwrap();
        let item = &read["value"].clone().into_table().unwrap()["Key"].clone().into_array().unwrap()[0];
        let item = item.clone().into_table().unwrap();
        let found: Vec<String> =
            item["list"].clone().into_array().unwrap().into_iter().map(|it| it.into_string().unwrap()).collect();
        prop_assert_eq!(found, texts);
        prop_assert_eq!(item["flag"].clone().into_bool().unwrap(), flag);
    }
}

#[test]
fn terraform_replaces_nothing_in_a_string() {
    for (text, written) in [
        ("plain", r#""plain""#),
        ("${aws:username}", r#""$${aws:username}""#),
        ("%{if}", r#""%%{if}""#),
        ("a \"b\" \\", r#""a \"b\" \\""#),
    ] {
        assert_eq!(hcl::string(text), written);
    }
}

#[test]
fn a_name_that_looks_like_an_option_is_none_in_a_script() {
    let script = include_str!("functions.sh");
    for option in
        ["log-group-name", "filter-name", "destination-name", "role-name", "policy-name", "queue-name"]
    {
        assert!(script.contains(&format!("--{option}=\"$")), "{option}");
        assert!(!script.contains(&format!("--{option} \"$")), "{option}");
    }
}
