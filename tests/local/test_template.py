"""Reading CloudFormation templates and working out their intrinsic functions."""

from pathlib import Path

import pytest

from local.template import (
    IntrinsicResolver,
    UnreadableTemplate,
    drop_custom_resources,
    list_code_folders,
    list_dangling_references,
    read_template,
    replace_code,
)

RESOLVER = IntrinsicResolver(
    values={"Port": "5432", "Origins": ["a", "b"], "AWS::Region": "eu-central-1", "Queue": "http://q"},
    attributes={"Work.Arn": "arn:aws:lambda:eu-central-1:0:function:work"},
    conditions={
        "On": {"Fn::Equals": [{"Ref": "Port"}, 5432]},
        "Off": {"Fn::Not": [{"Condition": "On"}]},
        "Both": {"Fn::And": [{"Condition": "On"}, {"Condition": "Off"}]},
        "Either": {"Fn::Or": [{"Condition": "On"}, {"Condition": "Off"}]},
    },
)


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"Ref": "Port"}, "5432"),
        ({"Ref": "Unknown"}, {"Ref": "Unknown"}),
        ({"Fn::GetAtt": ["Work", "Arn"]}, "arn:aws:lambda:eu-central-1:0:function:work"),
        ({"Fn::Sub": "${AWS::Region}/${Work.Arn}/${!Literal}/${Unknown}"},
         "eu-central-1/arn:aws:lambda:eu-central-1:0:function:work/${!Literal}/${Unknown}"),
        ({"Fn::Sub": ["${Port}-${Extra}", {"Extra": {"Ref": "Port"}}]}, "5432-5432"),
        ({"Fn::Join": [",", {"Ref": "Origins"}]}, "a,b"),
        ({"Fn::If": ["On", {"Ref": "Queue"}, 2]}, "http://q"),
        ({"Fn::If": ["Off", 1, 2]}, 2),
        ({"Fn::If": ["Both", 1, 2]}, 2),
        ({"Fn::If": ["Either", 1, 2]}, 1),
        ({"a": {"Fn::If": ["Off", 1, {"Ref": "AWS::NoValue"}]}, "b": [1, {"Ref": "AWS::NoValue"}]}, {"b": [1]}),
    ],
)  # fmt: skip
def test_an_intrinsic_function_stands_for_its_value(node: object, value: object) -> None:
    """CloudFormation resolves it in the same way; unknown references stay as they were."""
    assert RESOLVER.resolve(node) == value


def test_short_forms_are_read_as_long_forms() -> None:
    """!GetAtt splits its attribute, !Condition and !Ref keep their names."""
    text = "{a: !GetAtt Work.Arn, b: !Ref Port, c: !Not [!Condition On], d: !Sub '${Port}'}"
    assert read_template(text) == {
        "a": {"Fn::GetAtt": ["Work", "Arn"]},
        "b": {"Ref": "Port"},
        "c": {"Fn::Not": [{"Condition": "On"}]},
        "d": {"Fn::Sub": "${Port}"},
    }


def test_a_date_and_letters_of_any_script_are_text() -> None:
    """CloudFormation reads them in the same way."""
    assert read_template("{Version: 2012-10-17, City: Prishtinë}") == {"Version": "2012-10-17", "City": "Prishtinë"}


def test_each_reading_is_a_template_of_its_own() -> None:
    """A caller may change what it has read."""
    read_template("{a: {b: 1}}")["a"]["b"] = 2
    assert read_template("{a: {b: 1}}") == {"a": {"b": 1}}


def test_what_is_not_yaml_is_reported_with_its_line() -> None:
    """The report has the parser's words."""
    with pytest.raises(UnreadableTemplate, match=r"mapping values are not allowed here\n.*line 2"):
        read_template("Resources:\n  Work: Type: Function\n")


def test_code_is_replaced_by_a_stub_and_nothing_else_is() -> None:
    """The emulator deploys the template as it is, but never runs the code."""
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": "functions/work", "Handler": "w.handler"},
    }
    template = {"Resources": {"Work": function, "Queue": {"Type": "AWS::SQS::Queue"}}}
    stubbed = replace_code(template, "s3://b/k")
    assert stubbed["Resources"]["Work"]["Properties"] == {"CodeUri": "s3://b/k", "Handler": "w.handler"}
    assert stubbed["Resources"]["Queue"] == {"Type": "AWS::SQS::Queue"}
    assert list_code_folders(template, Path("/checkout")) == {"Work": Path("/checkout/functions/work")}


def test_custom_resources_are_left_out_with_what_waits_for_them() -> None:
    """The emulator runs no function that could answer; other dependencies stay."""
    template = {
        "Resources": {
            "Migration": {"Type": "AWS::CloudFormation::CustomResource", "Properties": {"ServiceToken": "arn"}},
            "Work": {"Type": "AWS::Serverless::Function", "DependsOn": "Migration"},
            "Rest": {"Type": "AWS::Serverless::Function", "DependsOn": ["Migration", "Work"]},
            "Queue": {"Type": "AWS::SQS::Queue", "DependsOn": "Work"},
        }
    }
    assert drop_custom_resources(template)["Resources"] == {
        "Work": {"Type": "AWS::Serverless::Function"},
        "Rest": {"Type": "AWS::Serverless::Function", "DependsOn": ["Work"]},
        "Queue": {"Type": "AWS::SQS::Queue", "DependsOn": ["Work"]},
    }


def test_a_reference_to_nothing_is_found_in_every_form() -> None:
    """Policy variables, literals and a Sub's own names are no references."""
    text = """
    Parameters: {Port: {Type: String}}
    Globals: {Function: {Layers: [!Ref Layr]}}
    Resources:
      Work: {A: !Ref Port, B: !GetAtt Work.Arn, C: !GetAtt Wrok.Arn, D: !Ref Work.Alias, E: !Ref AWS::Region}
      Rest: {A: !Sub "${Prot}/${!Literal}/${Work.Arn}", B: !Sub ["${Own}/${Quue}", {Own: !Ref Prt}]}
    """
    assert list_dangling_references(read_template(text)) == {"Layr", "Wrok", "Prot", "Quue", "Prt"}
