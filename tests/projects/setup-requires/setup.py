from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithHelper(build_py):
    def run(self):
        import tiny_helper

        print("tiny_helper", tiny_helper.__file__)
        super().run()


setup(
    name="setup-requires",
    version="1.0",
    py_modules=["setup_requires_module"],
    setup_requires=["tiny-helper"],
    cmdclass={"build_py": BuildWithHelper},
)
