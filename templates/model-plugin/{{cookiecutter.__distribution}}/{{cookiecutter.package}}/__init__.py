"""The model {{ cookiecutter.name }}. odc-cleansat reads the files of this folder and never imports it."""
