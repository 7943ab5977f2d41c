from pixcrawler.cli import main

main()
