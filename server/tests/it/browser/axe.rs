//! What axe-core (<https://github.com/dequelabs/axe-core>) finds wrong with a page for those who use it otherwise than by eye and mouse.
//! It is vendored for these tests alone, as published on npm, with its licence beside it; the server never serves it.

use serde_json::{Value, json};

use super::Screen;

const AXE: &str = include_str!("vendor/axe.min.js");

/// Everything of what is shown, closed parts opened, then a few of the questions that lie over the page when asked, and one line
/// for each serious or critical violation.
const RUN: &str = r#"
    for (const closed of document.querySelectorAll("details:not([open])")) closed.open = true;
    const options = { resultTypes: ["violations"] };
    if (onlyColours) options.runOnly = { type: "rule", values: ["color-contrast", "link-in-text-block"] };
    // Off by default, as part of WCAG 2.2.
    else options.rules = { "target-size": { enabled: true } };
    const results = [await axe.run(document, options)];
    for (const popover of [...document.querySelectorAll("[popover]")].slice(0, 4)) {
        popover.showPopover();
        results.push(await axe.run(popover, options));
        popover.hidePopover();
    }
    return results.flatMap((result) => result.violations)
        .filter((violation) => ["serious", "critical"].includes(violation.impact))
        .flatMap((violation) => violation.nodes.map((node) =>
            `${violation.id}: ${node.target.join(" ")}: ${node.html.slice(0, 160)}: ${node.failureSummary.replace(/\s+/g, " ").slice(0, 300)}`));
"#;

/// Serious and critical violations on the screen, all of them or those that are about colours.
pub(super) async fn violations(screen: &Screen, only_colours: bool) -> Vec<String> {
    if screen.evaluate("return !window.axe;", json!([])).await == Value::Bool(true) {
        screen.evaluate(AXE, json!([])).await;
    }
    let run = format!("const onlyColours = {only_colours};{RUN}");
    serde_json::from_value(screen.evaluate_to_the_end(&run).await).expect("a list of texts")
}
