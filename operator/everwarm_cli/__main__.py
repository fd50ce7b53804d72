"""`python -m everwarm_cli`: the same as `everwarm`, where scripts are not on the path."""

from everwarm_cli.main import main

if __name__ == "__main__":
    main()
